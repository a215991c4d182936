"""Two ranks write and log what one process does."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from PIL import Image

from callbacks.alignment_scores import AlignmentScores
from callbacks.image_grid import ImageGrid
from callbacks.prediction_writer import PredictionFolder, PredictionWriter
from callbacks.scoring.table import NAMES
from tests.unit.callbacks.colours import ColourJudge, Colours, JobData, job_loader, make_jobs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")
JOBS = make_jobs(references=3)
RANKS: dict[str, Any] = {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}


class SharedData(JobData):
    """The jobs, a contiguous half for each rank."""

    def setup(self, stage: str) -> None:
        rank, ranks = self.trainer.global_rank, self.trainer.world_size  # type: ignore[union-attr]
        self.share = slice(len(self.jobs) * rank // ranks, len(self.jobs) * (rank + 1) // ranks)

    def val_dataloader(self) -> Any:
        return job_loader(self.jobs[self.share])

    predict_dataloader = val_dataloader


@pytest.mark.parametrize(("references", "ranks", "rows"), [(3, 2, 6), (9, 2, 6), (9, 3, 4), (1, 3, 6)])
def test_evaluation(
    make_trainer: Callable[..., Trainer], tmp_path: Path, references: int, ranks: int, rows: int
) -> None:
    found = []
    for devices in (1, ranks):
        folder = tmp_path / str(devices)
        options = RANKS | {"devices": devices} if devices > 1 else {}
        callbacks = AlignmentScores(ColourJudge()), ImageGrid(references=rows, cell=16)
        trainer = make_trainer(*callbacks, **options, logger=False, default_root_dir=folder)
        trainer.validate(Colours(), SharedData(make_jobs(references)), verbose=False)
        grid = Image.open(folder / "grids" / "step_000000.png").tobytes()
        found.append([grid, *((folder / name).read_bytes() for name in NAMES)])
    assert found[0] == found[1]


def test_failures_of_all_ranks_are_known_to_each(make_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    module, writer = Colours(), PredictionWriter(str(tmp_path))
    module.spoilt = [2]  # of the second rank
    trainer = make_trainer(writer, **RANKS, logger=False)
    trainer.predict(module, SharedData(JOBS), return_predictions=False)
    assert len(list(tmp_path.glob("*.png"))) == len(JOBS) - 2
    module.spoilt = [0, 1, 2]
    trainer = make_trainer(AlignmentScores(ColourJudge()), **RANKS, logger=False)
    with pytest.raises(Exception, match="None of the 6 pictures of this evaluation could be made"):
        trainer.validate(module, SharedData(JOBS))


def test_prediction(make_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    trainer = make_trainer(PredictionWriter(str(tmp_path)), **RANKS, logger=False)
    trainer.predict(Colours(), SharedData(JOBS), return_predictions=False)
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {"generations-0.jsonl", "generations-1.jsonl"}
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert len(PredictionFolder(tmp_path).open(settings)) == len(JOBS)
    assert len(list(tmp_path.glob("*.png"))) == len(JOBS)


def test_an_error_of_the_first_rank_stops_all(make_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    PredictionFolder(tmp_path).open({"name": "another"})
    (tmp_path / "a-picture.png").touch()
    trainer = make_trainer(PredictionWriter(str(tmp_path)), **RANKS, logger=False)
    with pytest.raises(Exception, match="`name` is 'masking' and was 'another'"):
        trainer.predict(Colours(), SharedData(JOBS), return_predictions=False)
