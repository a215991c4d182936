"""Training that is interrupted anywhere and resumed through a Lightning checkpoint misses and repeats nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import write_folder

STEPS = 8


class Recorder(LightningModule):
    """A model of one weight that notes the epoch and the references of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[tuple[int, list[str]]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.seen.append((self.trainer.current_epoch, [reference.key for reference in batch["references"]]))
        return self.layer(torch.rand(1, 1)).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveEverywhere(Callback):
    """Writes a checkpoint at each hook that they are written from, and notes how many steps were done.

    With `max_steps` none is written at the end of an epoch: Lightning (2.6) loses count of the batches when it
    resumes from such a one, whatever the loader.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.saved = folder, {}

    def save(self, trainer: Trainer, hook: str) -> None:
        path = self.folder / f"{hook}-{trainer.global_step}.ckpt"
        self.saved[path] = trainer.global_step
        trainer.save_checkpoint(path)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.save(trainer, "batch")

    def on_validation_end(self, trainer: Trainer, *args: Any) -> None:
        self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.max_steps == -1:
            self.save(trainer, "epoch")


def fit(data: Path, num_workers: int, checkpoint: Path | None = None, **options: Any) -> list[tuple[int, list[str]]]:
    references = StyleReferences(
        str(data / "train"), str(data / "test"), batch_size=5, evaluation_references=1, num_workers=num_workers
    )
    off = ("use_distributed_sampler", "logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    steps = {"val_check_interval": 2, "check_val_every_n_epoch": None, "num_sanity_val_steps": 0, "max_epochs": -1}
    settings = {**dict.fromkeys(off, False), **steps, "accelerator": "cpu", "default_root_dir": data}
    module = Recorder()
    Trainer(**(settings | options)).fit(module, references, ckpt_path=checkpoint, weights_only=False)
    return module.seen


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "train", per_style=2)
    write_folder(root / "test", per_style=1)
    return root


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"max_steps": STEPS}, {"max_epochs": 4, "limit_train_batches": 2}])
def test_a_run_of_so_many_steps_or_short_epochs_goes_on_exactly(
    data: Path, tmp_path: Path, options: dict[str, int]
) -> None:
    saver = SaveEverywhere(tmp_path)
    whole = fit(data, 0, callbacks=[saver], **options)
    assert len(whole) == STEPS
    left = {path.name: whole[step:] for path, step in saver.saved.items() if step < STEPS}
    assert {name: fit(data, 0, tmp_path / name, **options) for name in left} == left
    assert [len(left[f"batch-{step}.ckpt"]) for step in range(1, STEPS)] == [7, 6, 5, 4, 3, 2, 1]
    hooks = {"batch", "validation"} if "max_steps" in options else {"batch", "validation", "epoch"}
    assert {name.split("-")[0] for name in left} == hooks


@pytest.mark.filterwarnings("ignore")
def test_batches_that_a_worker_has_fetched_ahead_are_not_lost(data: Path, tmp_path: Path) -> None:
    saver = SaveEverywhere(tmp_path)
    whole = fit(data, 1, callbacks=[saver], max_steps=3)
    assert fit(data, 1, tmp_path / "batch-1.ckpt", max_steps=3) == whole[1:]
