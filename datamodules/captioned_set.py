"""Images with a caption each, named by a file of JSON lines."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from datamodules.reading import parse_json, read_bytes, reading
from datamodules.references import Entry, ImageFile, ReferenceSet

REQUIRED = ("image", "prompt")
NAMES = (*REQUIRED, "content_map")
EXPECTED = (
    'one JSON object a line, {"image": "a/b.png", "prompt": "A dog"}, with or without "content_map": "maps/b.png"; '
    "paths are absolute, or relative to the folder of the file"
)
LINES_IN_ERROR = 20


class Caption(NamedTuple):
    """What one line says."""

    key: str
    """Path of the image as written, without suffix."""
    prompt: str
    image: Path
    content_map: Path | None


class CaptionedSet(ReferenceSet):
    """The images that a file of JSON lines names, in the order of their keys.

    The content of each is its prompt, its style is "". An image that cannot be read, or whose content map cannot, is
    reported and left out.

    Args:
        captions: The file. Each line is an object with "image" and "prompt", and "content_map" where a map of the
            image's contours is at hand; paths are absolute, or relative to the folder of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no line or a faulty one, or no image or no content map can be read.
    """

    def __init__(self, captions: str | Path) -> None:
        file = Path(captions)
        lines = read_captions(file)
        self._maps = _maps_of(file, lines)
        self._index_of_map = {reference.key: reference.index for reference in self._maps.references}
        whole = [line for line in lines if line.content_map is None or line.key in self._index_of_map]
        super().__init__(file, [Entry(line.key, line.prompt, "", ImageFile(line.image)) for line in whole])
        self.skipped |= self._maps.skipped

    def content_map(self, index: int) -> Image.Image | None:
        """The content map of a reference, RGB, in its own size; None where its line names none."""
        index_of_map = self._index_of_map.get(self.references[index].key)
        return None if index_of_map is None else self._maps.image(index_of_map)


def read_captions(file: Path) -> list[Caption]:
    """What the lines of a file say; blank ones are skipped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no line, or faulty ones: the number of each, and what is wrong with it.
    """
    if not file.is_file():
        raise FileNotFoundError(f"`captions`: there is no file `{file}`. Expected {EXPECTED}.")
    captions: dict[str, Caption] = {}
    faults = []
    # As bytes, because `str.splitlines` would also cut at characters that JSON allows within a text.
    with reading(file, "captions", f"Expected {EXPECTED}."):
        texts = read_bytes(file).splitlines()
    for number, line in enumerate(texts, start=1):
        if not line.strip():
            continue
        try:
            caption = _parsed(file.parent, line)
            if caption.key in captions:
                raise ValueError(f"the image {caption.key!r} has a line already; suffixes tell no images apart")
            captions[caption.key] = caption
        except ValueError as fault:
            faults.append(f"line {number}: {fault}")
    _check(file, len(captions) + len(faults), faults)
    return list(captions.values())


def _parsed(folder: Path, line: bytes) -> Caption:
    """Raises ValueError, which says what is wrong with the line."""
    texts = _texts(parse_json(line))
    paths = {name: folder / texts[name] for name in ("image", "content_map") if name in texts}
    missing = [str(path) for path in paths.values() if not os.path.isfile(path)]  # also where it can be no path
    if missing:
        raise ValueError(f"there is no file {' and no file '.join(missing)}")
    key = Path(texts["image"]).with_suffix("").as_posix()
    return Caption(key, texts["prompt"], paths["image"], paths.get("content_map"))


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """The texts of a line; null is the same as a name left out."""
    unknown = [name for name in values if name not in NAMES]
    if unknown:
        raise ValueError(f"unknown {_quoted(unknown)}")
    given = {name: value for name, value in values.items() if value is not None}
    blank = [name for name in NAMES if name in {*REQUIRED, *given} and not _is_text(given.get(name))]
    if blank:
        raise ValueError(f"no text as {_quoted(blank)}")
    return given


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _check(file: Path, n_lines: int, faults: list[str]) -> None:
    if not n_lines:
        raise ValueError(f"`captions`: the file `{file}` has no line. Expected {EXPECTED}.")
    if faults:
        more = [f"and {len(faults) - LINES_IN_ERROR} more"] if len(faults) > LINES_IN_ERROR else []
        named = "\n  ".join([*faults[:LINES_IN_ERROR], *more])
        raise ValueError(
            f"`captions`: {len(faults)} of {n_lines} lines of `{file}` are faulty:\n  {named}\n"
            f"Expected {EXPECTED}. Correct these lines, or take them out."
        )


def _maps_of(file: Path, lines: list[Caption]) -> ReferenceSet:
    maps = [Entry(line.key, "", "", ImageFile(line.content_map)) for line in lines if line.content_map is not None]
    return ReferenceSet(file, maps)
