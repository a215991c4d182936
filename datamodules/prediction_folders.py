"""Reads what `maskst predict` wrote, and finds the references of its pictures by their keys."""

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.batches import Prediction, Reference, digest_of
from datamodules.image_files import images_in
from datamodules.prediction_batches import Found
from datamodules.reading import inside, parse_json, read_bytes, reading
from datamodules.references import SHARD_INDEX, ImageFile, ImageSource, open_references

LINES = "generations-*.jsonl"
CONTENT_KEY = "content:"
"""Begins the keys of content images."""
_LARGEST = 2**63 - 1  # what the tables of scores hold


class ReferenceLookup:
    """Images below some roots by what `maskst predict` wrote of them: their content decides, their name only helps.

    Args:
        roots: Folders or shards of style references, and folders of content images. A content image lies directly
            in a root, or in the folder `content` of a root.

    Raises:
        FileNotFoundError: If a root is missing.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        for root in roots:
            if not Path(root).is_dir():
                raise FileNotFoundError(
                    f"`references`: there is no folder `{root}`. Give the folders that the references were read from "
                    "when the pictures were generated."
                )
        self.roots = list(roots)
        shards = [open_references(root) for root in roots if (Path(root) / SHARD_INDEX).is_file()]
        self._packed = [(r.key, packed.source(r.index)) for packed in shards for r in packed.references]
        self._listed: dict[Path, list[Path]] = {}
        self._digests: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def key_of(self, reference: Reference) -> str:
        """Its key; with a part of its digest where another image has had that key."""
        first = self._keys.setdefault(reference.key, reference.digest)
        return reference.key if first == reference.digest else f"{reference.key} ({reference.digest[:8]})"

    def find(self, key: str, digest: str) -> ImageSource:
        """The image of these bytes, under its key or any other name; raises ValueError if there is none."""
        named = [*self._named(key), *(source for packed, source in self._packed if packed == key)]
        for source in named:
            if self._digest(source) == digest:
                return source
        if digest in self._elsewhere:
            return self._elsewhere[digest]
        if named:
            raise ValueError(
                f"`{named[0].name}` is another image than the {key!r} that the picture was drawn from; that one is "
                f"nowhere below `references` ({', '.join(self.roots)})"
            )
        raise ValueError(f"there is no {key!r} below `references` ({', '.join(self.roots)})")

    def _named(self, key: str) -> list[ImageSource]:
        name = key.removeprefix(CONTENT_KEY)
        folders = self.roots if name == key else [*self.roots, *(f"{root}/content" for root in self.roots)]
        places = [inside(Path(folder), name) for folder in folders]
        return [ImageFile(path) for place in places for path in self._listing(place.parent) if path.stem == place.name]

    def _listing(self, folder: Path) -> list[Path]:
        if folder not in self._listed:
            self._listed[folder] = images_in(folder) if os.path.isdir(folder) else []
        return self._listed[folder]

    def _digest(self, source: ImageSource) -> str:
        if source.name not in self._digests:
            self._digests[source.name] = digest_of(source.read())
        return self._digests[source.name]

    @cached_property
    def _elsewhere(self) -> dict[str, ImageSource]:
        """All images below the roots by their bytes: read only once a name leads nowhere."""
        folders = [Path(folder) for root in self.roots for folder, _, _ in os.walk(root)]
        files = [ImageFile(path) for folder in folders for path in self._listing(folder)]
        return {self._digest(source): source for source in [*(source for _, source in self._packed), *files]}


def read_folders(folders: Sequence[str], lookup: ReferenceLookup) -> Found:
    """The pictures of folders that `maskst predict` wrote, folder by folder, by name: whoever wrote them, and when.

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
            except ValueError as fault:
                found.failures[str(path)] = str(fault)
                continue
            _check_new(path, line, seen)
            try:
                prediction, source = _of_line(path, line, lookup)
            except ValueError as fault:
                found.failures[str(path)] = str(fault)
                continue
            found.predictions.append(prediction)
            found.references[source.name] = source
        found.failures.update(_unnamed(folder, {path for path, _ in lines}))
    return found


def _lines(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The path of each picture and its line; a line that was cut off is left out, and its picture is `_unnamed`."""
    if not folder.is_dir():
        raise FileNotFoundError(f"`folders`: there is no folder `{folder}`. Give folders that `maskst predict` wrote.")
    # As bytes, because `str.splitlines` would also cut at characters that JSON allows within a text.
    texts = [text for file in sorted(folder.glob(LINES)) for text in _texts(file)]
    # Two runs at once write a line twice.
    found = [(folder / line["file"], line) for text in dict.fromkeys(texts) if (line := _parsed(text))]
    lines = sorted(found, key=lambda each: each[0])
    if not lines:
        deeper = sorted({file.parent.name for file in folder.glob(f"*/{LINES}")})
        names = f" Its folders {', '.join(f'`{name}`' for name in deeper)} do: give these." if deeper else ""
        raise ValueError(
            f"`folders`: `{folder}` holds no predictions: expected pictures and `{LINES}` beside them, as `maskst "
            f"predict` writes them.{names} Pictures of any other origin are scored by a `table` that names them."
        )
    return lines


def _texts(file: Path) -> list[bytes]:
    with reading(file, "folders", "Give the folders as `maskst predict` wrote them."):
        return read_bytes(file).splitlines()


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = parse_json(text)
    except ValueError:
        return None
    return line if isinstance(line.get("file"), str) else None


def _unnamed(folder: Path, named: set[Path]) -> dict[str, str]:
    pictures = [path for path in images_in(folder) if path not in named]
    return {str(path): f"no whole line of `{LINES}` names it: its run was interrupted" for path in pictures}


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


def _of_line(path: Path, line: dict[str, Any], lookup: ReferenceLookup) -> tuple[Prediction, ImageSource]:
    try:
        reference = Reference(index=-1, **line["reference"])
        content_image = Reference(index=-1, **line["content_image"]) if line.get("content_image") else None
        method, prompt, sample, seed = (line[name] for name in ("method", "prompt", "sample", "seed"))
        share_masked, settings = line.get("share_masked"), line.get("settings", {})
        _check_types(*reference[1:], method, prompt, expected=str)
        _check_numbers(sample, seed, least=0, most=_LARGEST)
        _check_numbers(*([] if share_masked is None else [share_masked]), least=0.0, most=1.0)
        _check_types(settings, expected=dict)
    except (KeyError, TypeError) as error:
        raise ValueError(f"its line is not as `maskst predict` writes it: {error}") from None
    source = lookup.find(reference.key, reference.digest)
    prediction = Prediction(
        path=str(path),
        method=method,
        reference_key=lookup.key_of(reference),
        reference_path=source.name,
        content=reference.content,
        style=reference.style,
        prompt=prompt,
        sample=sample,
        seed=seed,
        share_masked=share_masked,
        settings=settings,
        content_image=lookup.key_of(content_image) if content_image else None,
        content_image_path=_place(content_image, lookup),
    )
    return prediction, source


def _check_types(*values: object, expected: type | tuple[type, ...]) -> None:
    for value in values:
        if not isinstance(value, expected):
            raise TypeError(f"{value!r} stands where another type is expected")


def _check_numbers(*values: object, least: float, most: float) -> None:
    """Whole ones where `least` is; `bool` is no number here, and NaN lies nowhere."""
    for value in values:
        is_number = isinstance(value, (int, type(least))) and not isinstance(value, bool)
        if not is_number or not least <= value <= most:  # type: ignore[operator]
            raise TypeError(f"{value!r} stands where a number from {least} to {most} is expected")


def _place(content_image: Reference | None, lookup: ReferenceLookup) -> str | None:
    if content_image is None:
        return None
    try:
        return lookup.find(content_image.key, content_image.digest).name
    except ValueError:
        return None
