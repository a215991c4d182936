"""docs/architecture.md walks three ways through the files; these are the files that a run passes."""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from lightning import LightningModule

from callbacks.prediction_scores import PredictionScores
from callbacks.prediction_writer import PredictionWriter
from callbacks.scoring.clip_judge import ClipJudge
from datamodules.predictions import Predictions
from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import Backbone
from lightning_modules.style_transfer import Scoring, StyleTransfer
from tests.architecture.house import ROOMS, ROOT
from tests.fitting import SAMPLING, module, references, trainer

MOST_FILES = 20
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def walked(way: str) -> list[str]:
    """The files that the page names on a way, in its order."""
    section = PAGE.split(f"## {way}\n")[1].split("\n## ")[0]
    return re.findall(r"`(\S+\.py)`", section)


@contextmanager
def passed(start: str, stop: str) -> Iterator[set[str]]:
    """Our files whose code runs from the call of a function until that of another, in all threads."""
    files: set[str] = set()
    state = {"runs": False}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        state["runs"] = (state["runs"] or code.co_qualname == start) and code.co_qualname != stop
        path = Path(code.co_filename)
        if state["runs"] and event == "call" and code.co_name != "<module>" and path.is_relative_to(ROOT):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(ROOMS):
                files.add(name)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def drawn(backbone: Backbone, folder: Path) -> LightningModule:
    made = StyleTransfer(Masking(), backbone, SAMPLING)
    data = references(folder / "references", prompts=["A rocket"], predict_references=2)
    writer = PredictionWriter(str(folder / "pictures"))
    trainer(writer).predict(made, data, return_predictions=False)
    return made


def from_image_to_png(backbone: Backbone, folder: Path) -> set[str]:
    with passed("JobBatches.__getitem__", "PredictionWriter.on_predict_end") as files:
        drawn(backbone, folder)
    return files


def from_image_to_loss(backbone: Backbone, folder: Path) -> set[str]:
    made = module(backbone, adapter=ImageAdapter)
    with passed("AdapterReconstruction.training_step", "Reconstruction.on_before_optimizer_step") as files:
        trainer().fit(made, references(folder / "references"))
    return files


def from_png_to_scores(backbone: Backbone, folder: Path) -> set[str]:
    drawn(backbone, folder)
    scores = PredictionScores([ClipJudge()], str(folder / "scores"), cache=None)
    for _ in range(2):  # the second time the judge is loaded
        with passed("PredictionBatches.__getitem__", "EvaluationCallback.on_test_end") as files:
            data = Predictions(str(folder / "pictures"), str(folder / "references"))
            trainer(scores).test(Scoring(), data, verbose=False)
    return files


@pytest.mark.parametrize(
    ("way", "run"),
    [
        ("From an image to a PNG", from_image_to_png),
        ("From an image to a loss", from_image_to_loss),
        ("From a PNG to scores.csv", from_png_to_scores),
    ],
)
def test_the_page_names_the_files_that_are_passed_each_once(
    way: str, run: Any, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    files = walked(way)
    assert len(files) == len(set(files)) <= MOST_FILES
    assert set(files) == run(tiny_backbone, tmp_path)


def test_all_files_that_the_page_names_are_there() -> None:
    assert [name for name in re.findall(r"`([\w/]+\.\w+|[\w/]+/)`", PAGE) if not (ROOT / name).exists()] == []
