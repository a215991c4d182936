"""The layers for small accelerators, and what `fit` works out for itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.adapter_training import AdapterReconstruction
from scripts.commands import Commands
from tests.float64 import assert_same
from tests.integration.conftest import Run

SHORT = ("--trainer.max_steps=2", "--trainer.limit_val_batches=1", "--data.prompts=[A rocket]")


def _adapter(commands: Commands) -> dict[str, torch.Tensor]:
    assert isinstance(commands.model, AdapterReconstruction)
    return dict(commands.model.adapter.state_dict())


def test_predict_draws_the_same_pictures(run: Run, tmp_path: Path) -> None:
    for name, configs in {"plain": "predict/masking", "low": "predict/masking predict/low_memory"}.items():
        run("predict", configs, tmp_path / name, "--data.predict_references=1")
    plain, low = (sorted((tmp_path / name).glob("*.png")) for name in ("plain", "low"))
    assert plain and [path.name for path in plain] == [path.name for path in low]
    for one, other in zip(plain, low, strict=True):
        shades = [np.asarray(Image.open(path), dtype=int) for path in (one, other)]
        assert np.abs(shades[0] - shades[1]).max() <= 1  # rounding


@pytest.mark.usefixtures("float64")
def test_fit_makes_the_same_steps(run: Run, tmp_path: Path) -> None:
    exact = (*SHORT, "--trainer.val_check_interval=1", "--trainer.precision=64-true")
    plain = run("fit", "fit/image_adapter", tmp_path / "a", *exact)
    configs = "fit/image_adapter fit/low_memory"
    # Four batches of one reference for one batch of four.
    small = ("--data.batch_size=1", "--trainer.accumulate_grad_batches=4")
    low = run("fit", configs, tmp_path / "b", *exact, *small)
    assert low.trainer.global_step == plain.trainer.global_step == 2
    assert low.model.model.unet.is_gradient_checkpointing  # type: ignore[union-attr]
    assert_same(_adapter(low), _adapter(plain))


def test_evaluations_count_steps_of_the_optimizer(run: Run, tmp_path: Path) -> None:
    steps = ("--trainer.accumulate_grad_batches=2", "--data.batch_size=2", "--trainer.val_check_interval=1")
    run("fit", "fit/image_adapter", tmp_path, *SHORT, *steps)
    names = {"step_000001.ckpt", "step_000002.ckpt", "last.ckpt"}
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == names


def test_float16_weights_train_with_a_scaled_loss(run: Run, tmp_path: Path) -> None:
    half = ("--model.backbone.dtype=float16", *SHORT)
    # Without an accelerator Lightning replaces the mixed precision that was chosen by bfloat16, which scales no loss.
    with pytest.raises(ValueError, match=r"`precision` .*'bf16-mixed'.* float16.*16-mixed.*bfloat16"):
        run("fit", "fit/image_adapter", tmp_path / "a", *half)
    with pytest.raises(ValueError, match=r"`precision` .*'32-true'.* float16"):
        run("fit", "fit/image_adapter", tmp_path / "b", *half, "--trainer.precision=32-true")
