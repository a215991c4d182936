"""Folders that `maskst predict` wrote: which jobs are finished in them, and their pictures to be scored."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch.utils.data import Dataset

from datamodules.batches import Job, Prediction, PredictionBatch, Reference
from datamodules.images import ImageFile, images_in
from datamodules.reading import inside, lines_of, parse_json
from datamodules.shards import ReferenceLookup

LINES = "generations-*.jsonl"
WAY_OUT = (
    "It tells which pictures lie beside it: give another folder (`--trainer.default_root_dir`, or `folder` of the "
    "prediction writer), or remove this one."
)
_LARGEST = 2**63 - 1  # what the tables of scores hold


class Found(NamedTuple):
    """Pictures that were found, those that cannot be scored, and where the references lie."""

    predictions: list[Prediction]
    failures: dict[str, str]
    """Path of a picture -> why it cannot be scored."""
    references: dict[str, ImageFile]
    """`Prediction.reference_path` -> the encoded image."""


class PredictionBatches(Dataset[PredictionBatch]):
    """Batches of pictures by their positions among the predictions.

    The batch of the positions `first` tells which pictures cannot be scored; None: another process does.
    """

    def __init__(self, found: Found, sources: list[str], first: Sequence[int] | None = None) -> None:
        self.found, self.sources, self.first = found, sources, first
        self.contents = sorted({prediction.content_prompt for prediction in found.predictions})

    def __getitem__(self, indices: list[int]) -> PredictionBatch:
        places = dict.fromkeys(self.found.predictions[index].reference_path for index in indices)
        references = {place: _opened(self.found.references[place]) for place in places}
        batch: PredictionBatch = {
            "predictions": [],
            "positions": [],
            "images": [],
            "references": {place: opened for place, opened in references.items() if isinstance(opened, Image.Image)},
            "unread": [],
            "failures": dict(self.found.failures) if indices == self.first else {},
            "contents": self.contents,
            "sources": self.sources,
        }
        for index in indices:
            prediction = self.found.predictions[index]
            image, reference = _opened(ImageFile(Path(prediction.path))), references[prediction.reference_path]
            if isinstance(image, Image.Image) and isinstance(reference, Image.Image):
                batch["predictions"].append(prediction)
                batch["positions"].append(index)
                batch["images"].append(image)
                continue
            of_reference = f"its reference `{prediction.reference_path}` cannot be read: {reference}"
            batch["unread"].append(prediction)
            batch["failures"][prediction.path] = image if isinstance(image, str) else of_reference
        return batch


def finished_jobs(folder: str | Path) -> set[tuple[Any, ...]]:
    """The identities of the jobs whose pictures lie in a folder, which may be missing.

    Raises:
        OSError: If a file of lines cannot be read.
    """
    finished = set()
    for file in sorted(Path(folder).glob(LINES)):
        for line in finished_lines(file):
            with suppress(KeyError, TypeError):  # the line tells of no job: it is drawn
                finished.add(_job(line).identity)
    return finished


def finished_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file whose pictures lie beside it, whole.

    Raises:
        OSError: If it cannot be read.
    """
    lines = []
    for line in _parsed(text for _, text in lines_of(file, "folder", WAY_OUT)):
        with suppress(ValueError, OSError):  # it names nothing in this folder
            picture = inside(file.parent, line["file"])
            if os.path.isfile(picture) and os.path.getsize(picture):
                lines.append(line)
    return lines


def read_folders(folders: Sequence[str], lookup: ReferenceLookup) -> Found:
    """The pictures of folders, folder by folder, by name: whoever wrote them, and when.

    A picture whose line is faulty or was cut off, or whose reference cannot be found, is among the failures.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If a folder holds no predictions, or two pictures are the same.
    """
    found = Found([], {}, {})
    seen: dict[str, Path] = {}
    for folder in map(Path, folders):
        lines = _lines(folder)
        for path, line in lines:
            try:
                inside(folder, line["file"])
                prediction, file = _prediction(path, line, lookup)
            except ValueError as fault:
                found.failures[str(path)] = str(fault)
                continue
            _check_new(path, line, seen)
            found.predictions.append(prediction)
            found.references[file.name] = file
        for path in sorted(set(images_in(folder)) - {path for path, _ in lines}):
            found.failures[str(path)] = f"no whole line of `{LINES}` names it: its run was interrupted"
    return found


def _lines(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The path of each picture and its line; one that was cut off is left out."""
    if not folder.is_dir():
        raise FileNotFoundError(f"`folders`: there is no folder `{folder}`. Give folders that `maskst predict` wrote.")
    expected = "Give the folders as `maskst predict` wrote them."
    texts = [text for file in sorted(folder.glob(LINES)) for _, text in lines_of(file, "folders", expected)]
    # Two runs at once write a line twice.
    lines = sorted(((folder / line["file"], line) for line in _parsed(dict.fromkeys(texts))), key=lambda each: each[0])
    if not lines:
        deeper = sorted({file.parent.name for file in folder.glob(f"*/{LINES}")})
        names = f" Its folders {', '.join(f'`{name}`' for name in deeper)} do: give these." if deeper else ""
        raise ValueError(
            f"`folders`: `{folder}` holds no predictions: expected pictures and `{LINES}` beside them, as `maskst "
            f"predict` writes them.{names} Pictures of any other origin are scored by a `table` that names them."
        )
    return lines


def _parsed(texts: Iterable[bytes]) -> list[dict[str, Any]]:
    """The lines that name a picture."""
    lines = []
    for text in texts:
        with suppress(ValueError):
            lines.append(parse_json(text))
    return [line for line in lines if isinstance(line.get("file"), str)]


def _job(line: dict[str, Any]) -> Job:
    """Raises KeyError or TypeError where the line tells of no job."""
    content_image = line.get("content_image")
    job = Job(Reference(index=-1, **line["reference"]), line["prompt"], line["sample"], line["seed"])
    return job._replace(
        others=tuple(Reference(index=-1, **each) for each in line.get("others", ())),
        negatives=tuple(Reference(index=-1, **each) for each in line.get("negatives", ())),
        content_image=Reference(index=-1, **content_image) if content_image else None,
    )


def _prediction(path: Path, line: dict[str, Any], lookup: ReferenceLookup) -> tuple[Prediction, ImageFile]:
    try:
        job, method, settings = _job(line), line["method"], line.get("settings", {})
        _check(lambda value: isinstance(value, str), "another type", *job.reference[1:], method, job.prompt)
        _check(lambda value: isinstance(value, dict), "another type", settings)
        whole = f"a number from 0 to {_LARGEST}"
        _check(lambda value: type(value) is int and 0 <= value <= _LARGEST, whole, job.sample, job.seed)
        if (share_masked := line.get("share_masked")) is not None:
            _check(lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1", share_masked)
    except (KeyError, TypeError) as error:
        raise ValueError(f"its line is not as `maskst predict` writes it: {error}") from None
    file = lookup.find(job.reference.key, job.reference.digest)
    prediction = Prediction(
        path=str(path),
        method=method,
        reference_key=lookup.key_of(job.reference),
        reference_path=file.name,
        content=job.reference.content,
        style=job.reference.style,
        prompt=job.prompt,
        sample=job.sample,
        seed=job.seed,
        share_masked=share_masked,
        settings=settings,
    )
    if job.content_image:
        prediction = prediction._replace(content_image=lookup.key_of(job.content_image))
        with suppress(ValueError):  # no score asks for it
            place = lookup.find(job.content_image.key, job.content_image.digest).name
            prediction = prediction._replace(content_image_path=place)
    return prediction, file


def _check(fits: Callable[[Any], bool], expected: str, *values: object) -> None:
    for value in values:
        if not fits(value):
            raise TypeError(f"{value!r} stands where {expected} is expected")


def _check_new(path: Path, line: dict[str, Any], seen: dict[str, Path]) -> None:
    job = {name: value for name, value in line.items() if name not in ("file", "share_masked")}
    for identity in (os.path.realpath(path), json.dumps(job, sort_keys=True)):
        other = seen.setdefault(identity, path)
        if other is not path and other == path:
            raise ValueError(
                f"`folders`: `{path}` is named twice, by two folders or by two lines of `{LINES}`. Give it once."
            )
        if other is not path:
            raise ValueError(
                f"`folders`: `{other}` and `{path}` are the same picture, or two of the same method, settings, "
                "reference, prompt and seed: they would count twice. Give each folder once, and none of its copies."
            )


def _opened(file: ImageFile) -> Image.Image | str:
    """The image, or why it cannot be read: a picture may be spoilt at any time, which must not end a long run."""
    try:
        return file.open()[0]
    except ValueError as error:
        return str(error)
