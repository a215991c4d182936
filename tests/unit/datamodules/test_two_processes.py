"""Two real processes generate each job once, also when one of them has nothing to do."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from lightning import LightningModule, Trainer

from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import write_folder


class JobWriter(LightningModule):
    """Notes the jobs that its process is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.seen = folder, []

    def predict_step(self, batch: Any, batch_idx: int) -> None:
        self.seen += [(job.reference.key, job.prompt) for job in batch["jobs"]]

    def teardown(self, stage: str) -> None:
        (self.folder / f"rank-{self.global_rank}.json").write_text(json.dumps([os.getpid(), self.seen]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_jobs", [1, 5])
def test_two_processes_predict_each_job_once(tmp_path: Path, n_jobs: int) -> None:
    root = str(write_folder(tmp_path / "test"))
    references = StyleReferences(root, root, prompts=["A rocket"], predict_references=n_jobs, generation_batch_size=2)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.predict(JobWriter(tmp_path), references, return_predictions=False)
    (one, first), (other, second) = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    expected = [(job.reference.key, job.prompt) for batch in references.predict_dataloader() for job in batch["jobs"]]
    assert one != other
    assert sorted(map(tuple, first + second)) == sorted(expected)
    assert sorted([len(first), len(second)]) == ([0, 1] if n_jobs == 1 else [2, 3])
