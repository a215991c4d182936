"""The datamodule of captioned images, on which a StyleShot is trained, and the file of JSON lines that names them."""

from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.images import ImageFile
from datamodules.reading import files_of, lines_of, parse_json, parse_rows
from datamodules.references import Entry, ReferenceSet
from datamodules.style_references import StyleReferences

REQUIRED = ("image", "prompt")
NAMES = (*REQUIRED, "content_map")
EXPECTED = (
    'one JSON object a line, {"image": "a/b.png", "prompt": "A dog"}, with or without "content_map": "maps/b.png"; '
    "paths are absolute, or relative to the folder of the file"
)


class CaptionedImages(StyleReferences):
    """Captioned images to train on, and style references whose styles are transferred in all other stages.

    Args:
        captions: File of JSON lines, {"image": "a/b.png", "prompt": "A dog"} each, with or without
            "content_map": "maps/b.png", an image of the contours; paths are absolute, or relative to the folder of
            the file. The style is learnt from the image alone: prompts should name what it shows and not its style.
        kwargs: Arguments of `StyleReferences`, but for `train`; `content_words` are those of the test references.

    Raises:
        ValueError: If an argument of `StyleReferences` is wrong.
    """

    def __init__(self, captions: str = "data/captions.jsonl", **kwargs: Any) -> None:
        super().__init__(train=captions, **kwargs)
        self.captions = captions

    @cached_property
    def train_set(self) -> ReferenceSet:
        """The images of `captions`, read and checked once."""
        return read_captions(self.captions)


def read_captions(captions: str | Path) -> ReferenceSet:
    """The images that a file of JSON lines names, as in `CaptionedImages`: their content is the prompt, their style "".

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no line or faulty ones, all of which are named, or none of its images can be read.
    """
    file, keys = Path(captions), set[str]()
    if not file.is_file():
        raise FileNotFoundError(f"`captions`: there is no file `{file}`. Expected {EXPECTED}.")

    def parse(_: int, line: bytes) -> Entry:
        texts = _texts(parse_json(line))
        files = files_of(file.parent, texts, ("image", "content_map"))
        key = Path(texts["image"]).with_suffix("").as_posix()
        if key in keys:
            raise ValueError(f"the image {key!r} has a line already; suffixes tell no images apart")
        keys.add(key)
        content_map = ImageFile(files["content_map"]) if "content_map" in files else None
        return Entry(key, texts["prompt"], "", ImageFile(files["image"]), content_map)

    lines = lines_of(file, "captions", f"Expected {EXPECTED}.")
    return ReferenceSet(file, parse_rows(file, "captions", EXPECTED, lines, parse, "line"))


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """The texts of a line; null is the same as a name left out."""
    given = {name: value for name, value in values.items() if value is not None}
    texts = {name: value for name, value in given.items() if isinstance(value, str) and value.strip()}
    unknown = [name for name in values if name not in NAMES]
    blank = [name for name in NAMES if name in {*REQUIRED, *given} and name not in texts]
    if faulty := unknown or blank:
        names = ", ".join(f'"{name}"' for name in faulty)
        raise ValueError(f"unknown {names}" if unknown else f"no text as {names}")
    return texts
