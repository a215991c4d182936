"""Two processes share the pictures that are drawn or scored: each is on one of them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import LightningDataModule, LightningModule, Trainer

from datamodules.predictions import Predictions
from tests.unit.datamodules.predicted import jobs_of, write_predictions, write_references


class Noting(LightningModule):
    """Notes the jobs or pictures that its process is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.seen = folder, list[str]()

    def predict_step(self, batch: Any, batch_idx: int) -> None:
        self.seen += [f"{job.reference.key} {job.prompt}" for job in batch["jobs"]]

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.seen += [prediction.path for prediction in batch["predictions"]]

    def teardown(self, stage: str) -> None:
        (self.folder / f"rank-{self.global_rank}.json").write_text(json.dumps([os.getpid(), self.seen]))


def shares(folder: Path, run: Callable[..., Any], data: LightningDataModule) -> list[list[str]]:
    """What each of two processes was given."""
    still = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    run(Trainer(accelerator="cpu", devices=2, strategy="ddp_fork", **still), Noting(folder), data)
    (one, first), (other, second) = (json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert one != other
    return [first, second]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_references", [1, 2])
def test_each_job_is_drawn_once(tmp_path: Path, n_references: int) -> None:
    data = write_references(tmp_path / "object_test")
    data.predict_references, data.prompts = n_references, ["A bench", "A rocket", "A cup"][: 2 * n_references - 1]
    first, second = shares(tmp_path, Trainer.predict, data)
    assert sorted(first + second) == sorted(f"{job.reference.key} {job.prompt}" for job in data.predict_jobs)
    assert sorted(map(len, (first, second))) == ([0, 1] if n_references == 1 else [3, 3])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_pictures", [1, 3])
def test_each_picture_is_scored_once(tmp_path: Path, n_pictures: int) -> None:
    references = write_references(tmp_path / "object_test")
    folder = write_predictions(tmp_path / "out", jobs_of(references.test_set.references))
    lines = (folder / "generations-0.jsonl").read_text().splitlines(keepends=True)[:n_pictures]
    (folder / "generations-0.jsonl").write_text("".join(lines))
    data = Predictions(str(folder), references.test, batch_size=2)
    first, second = shares(tmp_path, Trainer.test, data)
    assert sorted(first + second) == sorted(str(folder / json.loads(line)["file"]) for line in lines)
    assert abs(len(first) - len(second)) == 1
    assert len(data.found.failures) == 4 - n_pictures
