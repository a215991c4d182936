"""Training that is interrupted anywhere and resumed through a Lightning checkpoint misses and repeats nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import write_folder

STEPS, BATCHES_IN_EPOCH = 8, 3


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
    """Writes a checkpoint at every hook that checkpoints are written from, and notes how many steps were done."""

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
        self.save(trainer, "epoch")


def fit(data: Path, num_workers: int, checkpoint: Path | None = None, **options: Any) -> list[tuple[int, list[str]]]:
    references = StyleReferences(
        str(data / "train"), str(data / "test"), batch_size=5, evaluation_references=1, num_workers=num_workers
    )
    settings = {
        "val_check_interval": 2,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "max_steps": STEPS,
        "max_epochs": -1,
        "accelerator": "cpu",
        "use_distributed_sampler": False,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": data,
    }
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
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_resumed_run_sees_exactly_the_remaining_batches(data: Path, tmp_path: Path, num_workers: int) -> None:
    saver = SaveEverywhere(tmp_path)
    expected = fit(data, num_workers, callbacks=[saver])
    assert len(expected) == STEPS
    assert [epoch for epoch, _ in expected] == [step // BATCHES_IN_EPOCH for step in range(STEPS)]
    assert {path.name.split("-")[0] for path in saver.saved} == {"batch", "validation", "epoch"}
    remaining = {path.name: expected[step:] for path, step in saver.saved.items() if step < STEPS}
    assert {path.name: fit(data, num_workers, path) for path in saver.saved if path.name in remaining} == remaining


@pytest.mark.filterwarnings("ignore")
def test_epochs_cut_short_by_a_limit_resume_too(data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"limit_train_batches": 2, "val_check_interval": 1.0, "check_val_every_n_epoch": 1}
    saver = SaveEverywhere(tmp_path)
    expected = fit(data, 0, callbacks=[saver], **options)
    remaining = {path.name: expected[step:] for path, step in saver.saved.items() if step < STEPS}
    assert {path.name: fit(data, 0, path, **options) for path in saver.saved if path.name in remaining} == remaining
