"""A fit that a signal ends goes on as if nothing had been: every batch and evaluation, the weights and the files."""

import contextlib
import os
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.style_references import StyleReferences
from scripts.command import StopOnSignal
from scripts.stopping import stoppable
from tests.unit.datamodules.folders import write_folder

STEPS = 7


class Told(LightningModule):
    """A model of few weights that tells what it learns from and when it is evaluated."""

    def __init__(self, told: list[Any]) -> None:
        super().__init__()
        self.layer, self.told = torch.nn.Linear(2, 1, dtype=torch.float64), told
        torch.nn.init.constant_(self.layer.weight, 1.0)
        torch.nn.init.constant_(self.layer.bias, 1.0)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        indices = [reference.index for reference in batch["references"]]
        self.told.append(indices)
        return self.layer(torch.tensor([[sum(indices), batch_idx]], dtype=torch.float64)).square().sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def on_validation_end(self) -> None:
        self.told.append(f"evaluated at {self.trainer.global_step}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


class Signal(Callback):
    """Sends this process a signal at a hook, when so many steps are done."""

    def __init__(self, number: int, hook: str, step: int = 0) -> None:
        self.sent = False

        def send(trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == step and not self.sent:
                self.sent = True
                os.kill(os.getpid(), number)

        setattr(self, hook, send)


def fit(data: Path, folder: Path, *more: Callback, **options: Any) -> list[Any]:
    told: list[Any] = []
    references = StyleReferences(str(data), str(data), batch_size=5, evaluation_references=4, generation_batch_size=2)
    keeper = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, save_last=True)
    defaults: dict[str, Any] = {"max_epochs": -1, "max_steps": STEPS, "val_check_interval": 2} | options
    trainer = Trainer(
        **defaults,
        callbacks=[StopOnSignal(), *more, keeper],
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accelerator="cpu",
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Told(told)
    last = folder / "last.ckpt"
    trainer.fit(module, references, ckpt_path=last if last.exists() else None, weights_only=False)
    told.append([parameter.tolist() for parameter in module.parameters()])
    return told


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "references"
    write_folder(root, per_style=1)
    return root


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_train_batch_end", "on_validation_batch_end"])
@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2, "max_steps": 3, "val_check_interval": 4}])
def test_a_fit_that_is_stopped_at_any_step_goes_on_exactly(
    data: Path, tmp_path: Path, hook: str, options: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = fit(data, tmp_path / "whole", **options)
    files, stopped = {path.name for path in (tmp_path / "whole").iterdir()}, 0
    for step in range(options.get("max_steps", STEPS)):
        folder, number = tmp_path / str(step), SIGINT if step % 2 else SIGTERM
        sends = Signal(number, hook, step)
        with contextlib.suppress(SystemExit), stoppable("Go on."):
            fit(data, folder, sends, **options)
            assert not sends.sent  # nor is a fit that was stopped finished
        if sends.sent:
            stopped += 1
            assert f"Stopped by {number.name}. `{folder / 'last.ckpt'}` has step" in capsys.readouterr().err
            rest = fit(data, folder, **options)
            assert rest == whole[len(whole) - len(rest) :]
            assert {path.name for path in folder.iterdir()} == files
    assert stopped
