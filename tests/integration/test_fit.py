"""Training from end to end: interrupted, on two processes, and what it leaves behind."""

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.adapters import ImageAdapter, TextAdapter
from lightning_modules.conditions.trained import TrainedAdapter
from lightning_modules.diffusion.config import Backbone
from lightning_modules.objectives import PublishedObjective
from lightning_modules.style_transfer import StyleModule, StyleTransfer
from tests.fitting import SAMPLING, Recorded, module, references, trainer
from tests.float64 import assert_same
from tests.integration import fit_once

ROOT = Path(__file__).parents[2]
KEYS = [f"condition.adapter.{name}" for name in ("proj.weight", "proj.bias", "norm.weight", "norm.bias")]


def checkpoints(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, filename="{step}", every_n_train_steps=4, save_top_k=-1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fit")


@pytest.fixture(scope="module")
def uninterrupted(tiny_backbone: Backbone, folder: Path) -> tuple[AdapterReconstruction, Recorded]:
    """Seven steps, three an epoch, with a checkpoint after the fourth."""
    recorded = Recorded()
    made = module(tiny_backbone, adapter=TextAdapter)
    run = trainer(recorded, checkpoints(folder), max_steps=7, enable_checkpointing=True)
    run.fit(made, references(folder / "object"))
    return made, recorded


@pytest.fixture
def checkpoint(uninterrupted: Any, folder: Path) -> Path:
    """The checkpoint after the fourth step, the first of the second epoch."""
    return folder / "step=4.ckpt"


def test_resuming_within_an_epoch_is_exact(
    tiny_backbone: Backbone, folder: Path, uninterrupted: tuple[AdapterReconstruction, Recorded], checkpoint: Path
) -> None:
    torch.manual_seed(123)  # neither the global state of chance nor a validation on the way changes anything
    made, recorded = module(tiny_backbone, adapter=TextAdapter), Recorded()
    run = trainer(recorded, max_steps=7, limit_val_batches=1, val_check_interval=2, check_val_every_n_epoch=None)
    run.fit(made, references(folder / "object"), ckpt_path=checkpoint)
    whole, expected = uninterrupted
    assert recorded.indices == expected.indices[4:]
    assert recorded.losses == expected.losses[4:]
    for key, tensor in whole.adapter.state_dict().items():
        assert torch.equal(made.adapter.state_dict()[key], tensor)


@pytest.mark.parametrize("cached", [True, False])
def test_resuming_is_exact_in_mixed_precision_after_an_evaluation_of_step_0(
    tiny_backbone: Backbone, folder: Path, tmp_path: Path, cached: bool
) -> None:
    kept = []
    for start in (None, tmp_path / "step=4.ckpt"):
        made, recorded = module(tiny_backbone, adapter=TextAdapter, cache_features=cached), Recorded()
        options = {"precision": "bf16-mixed", "enable_checkpointing": True, "max_steps": 6, "limit_val_batches": 1}
        run = trainer(recorded, checkpoints(tmp_path), check_val_every_n_epoch=None, **options)
        data = references(folder / "object")
        if start is None:  # as `maskst fit` does, whose evaluation meets some of the words first
            run.validate(made, data, verbose=False)
        run.fit(made, data, ckpt_path=start)
        kept.append((recorded.losses, made.adapter.state_dict()))
    (whole, weights), (resumed, others) = kept
    assert resumed == whole[4:]
    assert all(torch.equal(others[key], tensor) for key, tensor in weights.items())


def test_training_changes_the_adapter_and_each_epoch_sees_every_reference(
    tiny_backbone: Backbone, uninterrupted: tuple[AdapterReconstruction, Recorded]
) -> None:
    made, recorded = uninterrupted
    untrained = module(tiny_backbone, adapter=TextAdapter)
    untrained.configure_model()
    assert (made.adapter.proj.weight - untrained.adapter.proj.weight).abs().max() > 1e-2
    first, second = ([*chain(*recorded.indices[start : start + 3])] for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(12)) and first != second


@pytest.mark.usefixtures("float64")
def test_two_processes_train_as_one_does(tiny_backbone: Backbone, folder: Path) -> None:
    data = folder / "two"
    data.mkdir()
    references(data / "object")
    next((data / "object").rglob("*.png")).unlink()
    fit_once.fit(data, tiny_backbone.model, devices=1)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, fit_once.__file__, str(data), tiny_backbone.model, "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    one, two = (torch.load(data / f"result_{devices}.pt") for devices in (1, 2))
    assert_same(two["state"], one["state"])
    assert one["moved"] > 1e-3
    # `loss` is each process's own share; the parts are means over both
    parts = [[losses[1:] for losses in result["losses"]] for result in (two, one)]
    assert_same(parts[0], parts[1])
    assert_same(two["last"], one["last"])


def test_checkpoint_holds_the_adapter_alone(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert list(content["state_dict"]) == KEYS
    assert content["adapter"] == {"kind": "TextAdapter", "dim": 20, "text_dim": 24}
    assert len(content["optimizer_states"][0]["state"]) == 4
    assert checkpoint.stat().st_size < 20_000


def test_checkpoint_of_the_other_adapter_is_refused(tiny_backbone: Backbone, folder: Path, checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="`kind` of the weights must be ImageAdapter, got TextAdapter"):
        trainer().fit(module(tiny_backbone, adapter=ImageAdapter), references(folder / "object"), ckpt_path=checkpoint)


def test_checkpoint_with_a_misspelt_key_is_refused(
    tiny_backbone: Backbone, folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["condition.adapter.proj.wieght"] = content["state_dict"].pop(KEYS[0])
    torch.save(content, tmp_path / "misspelt.ckpt")
    with pytest.raises(ValueError, match=r"missing \['proj.weight'\], unknown \['proj.wieght'\]"):
        trainer().fit(
            module(tiny_backbone, adapter=TextAdapter),
            references(folder / "object"),
            ckpt_path=tmp_path / "misspelt.ckpt",
        )


def test_trained_adapter_generates_what_its_training_validated(
    tiny_backbone: Backbone, folder: Path, uninterrupted: tuple[AdapterReconstruction, Recorded]
) -> None:
    made, _ = uninterrupted
    last = folder / "last.ckpt"
    made.trainer.save_checkpoint(last)
    transfer = StyleTransfer(TrainedAdapter(str(last)), tiny_backbone, SAMPLING)
    transfer.diffusion = made.diffusion
    batch = next(iter(references(folder / "object").val_dataloader()))
    assert transfer.name == made.name == "text_adapter"
    assert torch.equal(transfer.generate(batch).images, made.generator.generate(batch).images)


def test_loading_from_python(tiny_backbone: Backbone, checkpoint: Path) -> None:
    made = AdapterReconstruction.load_from_checkpoint(checkpoint, adapter=TextAdapter)
    assert made.backbone == tiny_backbone
    assert torch.equal(made.adapter.proj.weight, torch.load(checkpoint)["state_dict"][KEYS[0]])


def test_published_behaviour_is_a_matter_of_yaml() -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(StyleModule, "model", subclass_mode=True)
    settings = {
        "adapter": "lightning_modules.adapters.TextAdapter",
        "objective": {"class_path": "lightning_modules.objectives.PublishedObjective", "init_args": {"weight": 8}},
        "rescale_in_training": False,
        "dropped_image": "negated",
        "drop": {"image": 0.1},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-4}},
    }
    path = "lightning_modules.adapter_training.AdapterReconstruction"
    config = parser.parse_object({"model": {"class_path": path, "init_args": settings}})
    made = parser.instantiate_classes(config)["model"]
    assert isinstance(made.objective, PublishedObjective) and made.objective.weight == 8
    assert (made.adapter_class, made.rescale, made.rescale_in_training) == (TextAdapter, True, False)
    assert (made.dropped_image, made.drop.image, made.drop.both) == ("negated", 0.1, 0.05)
    [group] = made.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert group["lr"] == 1e-4
