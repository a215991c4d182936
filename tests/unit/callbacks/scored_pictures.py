"""Folders of predictions with settings, judges that look at colours only, and a classifier with random weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor

from callbacks.prediction_scores import PredictionScores
from callbacks.prediction_writer import PredictionFolder, job_line, picture_name
from callbacks.scoring.classifier_judge import Classifier, ClassifierJudge, save_classifier
from callbacks.scoring.clip_judge import StyleJudge
from callbacks.scoring.judge import Judge
from datamodules.jobs import list_jobs
from datamodules.predictions import Predictions
from datamodules.shards import open_references
from lightning_modules.style_transfer import Scoring
from tests.unit.callbacks.colours import ColourJudge
from tests.unit.datamodules.folders import write_folder

CLASSES, STYLES = ["bird", "bench", "rocket"], ["lego toy", "pop art"]  # not the cat, not the line art


class ColourStyleJudge(StyleJudge):
    """Colours only, and no texts."""

    def image_features(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        return ColourJudge().image_features(images)

    reference_features = image_features


def write_groups(folder: Path) -> Predictions:
    """Two groups of random colours: 4 references x 2 prompts x one sample, and three samples."""
    root = folder / "references"
    write_folder(root, ("bird", "cat"), ("lego toy", "line art"), per_style=1)
    for name, samples, scale in (("0", 1, 1), ("1", 3, 0.4)):
        settings = {"name": "masking", "condition": {"strength": 0.5}, "sampling": {"steps": 3, "scale": scale}}
        writer, colours = PredictionFolder(folder / name), torch.Generator().manual_seed(samples)
        writer.open(settings)
        for job in list_jobs(open_references(root).references, ("A bench", "A rocket"), samples, 42):
            colour = tuple(torch.randint(256, (3,), generator=colours).tolist())
            line = {**job_line(job), "share_masked": 0.25, "method": "masking", "settings": settings}
            writer.write(picture_name(job, "masking"), Image.new("RGB", (5, 4), colour), line, rank=0)
    return Predictions([str(folder / name) for name in "01"], str(root), batch_size=5)


def write_classifier(folder: Path) -> str:
    """Random weights for three contents and two styles."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_classifier(Classifier(len(CLASSES), len(STYLES)), folder, CLASSES, STYLES)
    return str(folder)


def three_judges(tmp_path: Path) -> list[Judge]:
    """One of each kind."""
    classifier = ClassifierJudge(write_classifier(tmp_path / "classifier"))
    return [ColourJudge("colours"), ColourStyleJudge("style"), classifier]


def score(make_trainer: Callable[..., Trainer], scores: PredictionScores, data: Predictions, **options: Any) -> Path:
    """Scores the pictures and returns the folder."""
    assert scores.folder is not None
    make_trainer(scores, logger=False, **options).test(Scoring(), data, verbose=False)
    return Path(scores.folder)


def scores_into(tmp_path: Path, *judges: Any, **arguments: Any) -> PredictionScores:
    return PredictionScores(list(judges), str(tmp_path / "scores"), cache=None, **arguments)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "scores.parquet").to_pylist()
