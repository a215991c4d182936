"""Folders of predictions with settings, judges that look at colours only, and a classifier with random weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from lightning import Trainer
from PIL import Image
from torch import Tensor

from callbacks.prediction_folder import Picture, PredictionFolder, job_line, picture_name
from callbacks.prediction_scores import PredictionScores
from callbacks.scoring.classifier_judge import Classifier, ClassifierJudge, save_classifier
from callbacks.scoring.clip_judge import StyleJudge
from callbacks.scoring.judge import Judge
from datamodules.jobs import list_jobs
from datamodules.predictions import Predictions
from datamodules.references import ReferenceFolder
from lightning_modules.style_transfer import Scoring
from tests.unit.callbacks.colours import ColourJudge
from tests.unit.datamodules.folders import write_folder

CLASSES, STYLES = ["bird", "bench", "rocket"], ["lego toy", "pop art"]  # not the cat, not the line art


class ColourStyleJudge(StyleJudge):
    """Colours only, and no texts."""

    def image_features(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        return ColourJudge().image_features(images)


def write_group(folder: Path, root: Path, samples: int = 2, method: str = "masking", **sampling: Any) -> Path:
    """Pictures of random colours: each of 4 references x 2 prompts x samples."""
    if not root.is_dir():
        write_folder(root, ("bird", "cat"), ("lego toy", "line art"), per_style=1)
    settings = {"name": method, "condition": {"strength": 0.5}, "sampling": {"steps": 3, **sampling}}
    writer, colours = PredictionFolder(folder), torch.Generator().manual_seed(len(str(sampling)) + samples)
    writer.open(settings)
    for job in list_jobs(ReferenceFolder(root).references, ("A bench", "A rocket"), samples, 42):
        colour = tuple(torch.randint(256, (3,), generator=colours).tolist())
        line = {**job_line(job), "share_masked": 0.25, "method": method, "settings": settings}
        writer.write(Picture(picture_name(job, method), Image.new("RGB", (5, 4), colour), line), rank=0)
    return folder


def write_groups(folder: Path) -> Predictions:
    """Two groups, one with one sample of each job and one with three."""
    root = folder / "references"
    folders = [write_group(folder / "0", root, samples=1, scale=1), write_group(folder / "1", root, 3, scale=0.4)]
    return Predictions([str(each) for each in folders], str(root), batch_size=5)


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
