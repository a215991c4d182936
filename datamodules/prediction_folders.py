"""Folders that `maskst predict` wrote: which jobs are finished in them, and their pictures to be scored."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

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
AS_WRITTEN = "Give the folders as `maskst predict` wrote them."
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
        chosen = [self.found.predictions[index] for index in indices]
        faults: dict[str, str] = {}
        references = {p.reference_path: self.found.references[p.reference_path] for p in chosen}
        opened = {place: image for place, file in references.items() if (image := _opened(file, place, faults))}
        batch: PredictionBatch = {
            "predictions": [],
            "positions": [],
            "images": [],
            "references": opened,
            "unread": [],
            "failures": dict(self.found.failures) if indices == self.first else {},
            "contents": self.contents,
            "sources": self.sources,
        }
        for index, prediction in zip(indices, chosen, strict=True):
            path, place = prediction.path, prediction.reference_path
            image = _opened(ImageFile(Path(path)), path, batch["failures"])
            if image and place in opened:
                batch["predictions"].append(prediction)
                batch["positions"].append(index)
                batch["images"].append(image)
                continue
            batch["unread"].append(prediction)
            batch["failures"].setdefault(path, f"its reference `{place}` cannot be read: {faults.get(place)}")
        return batch


class Finished(NamedTuple):
    """A picture that lies in a folder, what it was drawn for, and its line."""

    path: Path
    job: Job
    line: dict[str, Any]


def finished_pictures(folder: str | Path) -> dict[tuple[Any, ...], Finished]:
    """The pictures that lie in a folder, which may be missing, by the identities of their jobs.

    Raises:
        OSError: If a file of lines cannot be read.
    """
    finished = {}
    for file in sorted(Path(folder).glob(LINES)):
        for line in finished_lines(file):
            with suppress(KeyError, TypeError):  # the line tells of no job: it is drawn
                job = _job(line)
                finished[job.identity] = Finished(file.parent / line["file"], job, line)
    return finished


def finished_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file whose pictures lie beside it, whole.

    Raises:
        OSError: If it cannot be read.
    """
    lines = []
    for line in _lines([file], "folder", WAY_OUT):
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
    found, seen = Found([], {}, {}), dict[str, Path]()
    for folder in map(Path, folders):
        lines = sorted(
            ((folder / line["file"], line) for line in _lines(sorted(folder.glob(LINES)))), key=lambda each: each[0]
        )
        if not lines:
            _refuse_without_lines(folder)
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


def _lines(files: Sequence[Path], argument: str = "folders", way_out: str = AS_WRITTEN) -> list[dict[str, Any]]:
    """The lines that name a picture; one that was cut off is left out."""
    texts = [text for file in files for _, text in lines_of(file, argument, way_out)]
    lines = []
    for text in dict.fromkeys(texts):  # two runs at once write a line twice
        with suppress(ValueError):
            lines.append(parse_json(text))
    return [line for line in lines if isinstance(line.get("file"), str)]


def _refuse_without_lines(folder: Path) -> NoReturn:
    if not folder.is_dir():
        raise FileNotFoundError(f"`folders`: there is no folder `{folder}`. Give folders that `maskst predict` wrote.")
    deeper = sorted({file.parent.name for file in folder.glob(f"*/{LINES}")})
    names = f" Its folders {', '.join(f'`{name}`' for name in deeper)} do: give these." if deeper else ""
    raise ValueError(
        f"`folders`: `{folder}` holds no predictions: expected pictures and `{LINES}` beside them, as `maskst "
        f"predict` writes them.{names} Pictures of any other origin are scored by a `table` that names them."
    )


def _job(line: dict[str, Any]) -> Job:
    """Raises KeyError or TypeError where the line tells of no job."""
    others, negatives = (tuple(_reference(each) for each in line.get(name, ())) for name in ("others", "negatives"))
    content_image = _reference(line["content_image"]) if line.get("content_image") else None
    told = line["prompt"], line["sample"], line["seed"]
    return Job(_reference(line["reference"]), *told, others, negatives, content_image)


def _reference(told: dict[str, str]) -> Reference:
    return Reference(index=-1, **told)


def _prediction(path: Path, line: dict[str, Any], lookup: ReferenceLookup) -> tuple[Prediction, ImageFile]:
    try:
        job, method, settings = _job(line), line["method"], line.get("settings", {})
        share_masked = line.get("share_masked")
        _check("another type", str, *job.reference[1:], method, job.prompt)
        _check("another type", dict, settings)
        _check(f"a number from 0 to {_LARGEST}", int, job.sample, job.seed, most=_LARGEST)
        _check("a number from 0 to 1", (int, float), 0 if share_masked is None else share_masked, most=1)
    except (KeyError, TypeError) as error:
        raise ValueError(f"its line is not as `maskst predict` writes it: {error}") from None
    reference, content_image, place = job.reference, job.content_image, None
    file, key = lookup.find(reference.key, reference.digest), lookup.key_of(reference)
    if content_image:
        with suppress(ValueError):  # no score asks for it
            place = lookup.find(content_image.key, content_image.digest).name
    told = (method, key, file.name, reference.word, reference.style, job.prompt, job.sample, job.seed)
    layout = content_image and lookup.key_of(content_image)
    return Prediction(str(path), *told, share_masked, settings, layout, place), file


def _check(expected: str, types: type | tuple[type, ...], *values: Any, most: int | None = None) -> None:
    """Raises TypeError unless all values are of these types, and numbers from 0 to `most`."""
    for value in values:
        is_typed = isinstance(value, types) and not isinstance(value, bool)
        if not is_typed or (most is not None and not 0 <= value <= most):
            raise TypeError(f"{value!r} stands where {expected} is expected")


def _check_new(path: Path, line: dict[str, Any], seen: dict[str, Path]) -> None:
    job = {name: value for name, value in line.items() if name not in ("file", "share_masked", "found")}
    identities = os.path.realpath(path), json.dumps(job, sort_keys=True)
    for other in filter(None, map(seen.get, identities)):
        twice = f"`{path}` is named twice, by two folders or by two lines of `{LINES}`. Give it once."
        same = (
            f"`{other}` and `{path}` are the same picture, or two of the same method, settings, reference, prompt and "
            "seed: they would count twice. Give each folder once, and none of its copies."
        )
        raise ValueError(f"`folders`: {twice if other == path else same}")
    seen.update(dict.fromkeys(identities, path))


def _opened(file: ImageFile, name: str, faults: dict[str, str]) -> Image.Image | None:
    """The image, or a fault by its name: a picture may be spoilt at any time, which must not end a long run."""
    try:
        return file.open()[0]
    except ValueError as error:
        faults[name] = str(error)
        return None
