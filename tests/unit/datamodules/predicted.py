"""Folders of predictions as `maskst predict` leaves them, written by its own code, each picture of one colour."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from callbacks.prediction_writer import PredictionFolder, job_line, picture_name
from datamodules.batches import Job, Reference
from datamodules.jobs import list_jobs
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import write_folder

PROMPTS = ("A bench", "A rocket")


def write_references(root: Path) -> StyleReferences:
    """Two contents x one style x one image, named as published."""
    folder = str(write_folder(root, ("bird", "cat"), ("lego toy",), per_style=1))
    return StyleReferences(folder, folder, prompts=PROMPTS)


def jobs_of(references: Iterable[Reference], content_images: Sequence[Reference] = ()) -> list[Job]:
    """Each reference x `PROMPTS` or x content image, one sample."""
    return list_jobs(references, PROMPTS, 1, 42, content_images=content_images)


def write_predictions(folder: Path, jobs: Sequence[Job], method: str = "masking", ranks: int = 1) -> Path:
    """Job i becomes a picture of the colour (i, 7, 7); the ranks take turns."""
    settings = {"name": method, "scale": 0.5}
    writer = PredictionFolder(folder)
    writer.open(settings)
    for number, job in enumerate(jobs):
        line = {**job_line(job), "share_masked": 0.25, "method": method, "settings": settings}
        writer.write(picture_name(job, method), Image.new("RGB", (5, 4), (number, 7, 7)), line, rank=number % ranks)
    return folder


def change_line(folder: Path, number: int, **values: Any) -> str:
    """Changes a line of rank 0, or removes a value given as None; returns the path of its picture."""
    file = folder / "generations-0.jsonl"
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    name = lines[number]["file"]
    merged = {**lines[number], **values}
    lines[number] = {key: value for key, value in merged.items() if value is not None}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / name)
