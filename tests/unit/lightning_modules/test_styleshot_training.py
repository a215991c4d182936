"""Runs of StyleShot's training: what they learn, interrupted, cached, checkpointed, and on two processes."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import tests.styleshot
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.objectives import DropRates
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction
from tests.fitting import trainer
from tests.float64 import assert_same
from tests.styleshot import STAGES, Losses, captions, module, still, trained_state, write_captions, write_styleshot

exact = pytest.mark.usefixtures("float64")
ROOT = Path(__file__).parents[3]
both_stages = pytest.mark.parametrize("stage", STAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_captions(tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def backbones(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Backbone]:
    """What each stage starts from."""
    styleshot = write_styleshot(tmp_path_factory.mktemp("styleshot"), tiny_backbone)
    return {StyleEncoderReconstruction: tiny_backbone, ContentFusionReconstruction: styleshot}


@both_stages
def test_the_loss_falls(stage: Any, backbones: dict[Any, Backbone], folder: Path) -> None:
    made, first, last = module(stage, backbones[stage], drop=DropRates(0, 0, 0)), Losses(), Losses()
    trainer(first, max_steps=15).fit(made, captions(folder, batch_size=11))
    made.optimizer = still
    trainer(last).fit(made, captions(folder, batch_size=11))  # from epoch 0 on: the draws are the first step's
    assert last.indices[0] == first.indices[0]
    assert last.losses[0] < 0.95 * first.losses[0]


@pytest.mark.parametrize("cached", [False, True])
@both_stages
def test_resuming_within_an_epoch_is_exact(
    stage: Any, backbones: dict[Any, Backbone], folder: Path, tmp_path: Path, cached: bool
) -> None:
    options = {"precision": "bf16-mixed" if cached else "32-true", "max_steps": 7}
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=4, save_top_k=-1)
    made, whole = module(stage, backbones[stage], cache_features=cached), Losses()
    trainer(whole, keep, **options, enable_checkpointing=True).fit(made, captions(folder))
    assert [len(indices) for indices in whole.indices] == [4, 4, 3, 4, 4, 3, 4]
    torch.manual_seed(123)
    resumed, rest = module(stage, backbones[stage], cache_features=cached), Losses()
    trainer(rest, **options).fit(resumed, captions(folder), ckpt_path=tmp_path / "step=4.ckpt")
    assert rest.indices == whole.indices[4:]
    assert rest.losses == whole.losses[4:]
    ours, theirs = trained_state(resumed), trained_state(made)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@both_stages
@exact
def test_cached_features_give_the_same_losses(
    stage: Any, backbones: dict[Any, Backbone], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    encode = StableDiffusion.encode_latents

    def counted(model: StableDiffusion, images: Any) -> Any:
        opened.append(len(images))
        return encode(model, images)

    monkeypatch.setattr(StableDiffusion, "encode_latents", counted)
    losses, encoded = [], []
    for cached in (False, True):
        recorded = Losses()
        made = module(stage, backbones[stage], cache_features=cached)
        trainer(recorded, max_steps=6, precision="64-true").fit(made, captions(folder))
        losses.append(recorded.losses)
        encoded.append(sum(opened))
        opened.clear()
    assert_same(losses[1], losses[0])
    assert encoded == [22, 11], "two epochs of eleven images"


@pytest.mark.slow
@both_stages
@exact
def test_two_processes_train_as_one_does(stage: Any, backbones: dict[Any, Backbone], tmp_path: Path) -> None:
    write_captions(tmp_path)
    tests.styleshot.fit(stage.__name__, tmp_path, backbones[stage], devices=1)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    settings = json.dumps(asdict(backbones[stage]))
    command = [sys.executable, str(tests.styleshot.__file__), stage.__name__, str(tmp_path), settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    one, two = (torch.load(tmp_path / f"{stage.__name__}_{devices}.pt") for devices in (1, 2))
    assert_same(two, one)
