"""Sets of style references: what is there, what it shows, and its pixels, the same for folders and shards."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

from datamodules.batches import Reference, digest_of
from datamodules.image_files import images_below
from datamodules.images import RAW, SUFFIXES, UNREAD, read_image
from datamodules.reading import read_bytes
from datamodules.vocabulary import CONTENTS, MISSPELT, contents_of, is_text, parse_reference_name, shown

SHARD_INDEX = "shards.json"
"""The file that makes a folder a folder of shards."""

LAYOUT = (
    "`<root>/<class>/<class>/<article>-<class>-...-<style>_<number>.jpg` "
    f"(or one class folder deep; {', '.join(SUFFIXES)}), for example `frog/frog/a-frog-in-lego toy_0.jpg`"
)
WAY_OUT = (
    "Point `train` and `test` of the datamodule to such folders, or take the datamodule "
    "`datamodules.miniature.references.MiniatureReferences`, which draws a small set of its own. Images with "
    "any other names are read with `content_words`, which says what they show."
)
NAMES_IN_WARNING = 20
LEAST_SIDE = 8
"""Pixels."""
GREATEST_ASPECT = 20
"""Longer side / shorter side."""


class ImageSource(Protocol):
    """Where the encoded bytes of one image lie."""

    @property
    def name(self) -> str:
        """The place, for messages."""

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""

    def read(self) -> bytes:
        """The encoded image, untouched."""


class Entry(NamedTuple):
    """One image of a set before it is known whether it can be read."""

    key: str
    content: str
    style: str
    source: ImageSource


class ReferenceSet:
    """The readable style references of a root, in the order of their keys.

    Each image is decoded once here, so that a damaged one is reported and left out now, on all ranks alike,
    and does not end a run hours later.

    Attributes:
        references: The references; `references[i].index == i`.
        skipped: Place of each unreadable image -> what is wrong with it.
        sizes: Width and height of each reference, upright, in pixels.

    Args:
        root: Folder of the set, for messages.
        entries: The images, in any order.

    Raises:
        ValueError: If two images have the same key, or none can be read.
    """

    def __init__(self, root: Path, entries: Iterable[Entry]) -> None:
        ordered = sorted(entries)
        _check_keys(ordered)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            checked = list(zip(ordered, pool.map(_checked, ordered), strict=True))
        readable = [(entry, *result) for entry, result in checked if not isinstance(result, str)]
        self.skipped = {shown(entry.source.name): result for entry, result in checked if isinstance(result, str)}
        self.references = [Reference(i, e.key, e.content, e.style, digest) for i, (e, digest, _) in enumerate(readable)]
        self.sizes = [size for *_, size in readable]
        self._sources = [entry.source for entry, *_ in readable]
        _report(root, self.skipped, len(readable))

    def __len__(self) -> int:
        """Number of readable references."""
        return len(self.references)

    @property
    def digest(self) -> str:
        """Tells the set from all others: other images, contents or styles, or another order."""
        return digest_of(repr([reference.identity for reference in self.references]).encode())

    def source(self, index: int) -> ImageSource:
        """The encoded file of a reference."""
        return self._sources[index]

    def image(self, index: int) -> Image.Image:
        """The image of a reference: RGB, upright, in its own size; ValueError if it can no longer be read."""
        return open_image(self._sources[index], self.references[index].digest)[0]


class ImageFile(NamedTuple):
    """An image that is a file of its own."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return self.path.suffix

    def read(self) -> bytes:
        """The encoded image, untouched."""
        return read_bytes(self.path)


class ReferenceFolder(ReferenceSet):
    """The style references below `<root>/<class>/<class>/` or `<root>/<class>/`, or anywhere with `content_words`.

    Args:
        root: Folder with a folder for each class.
        content_words: What the images show, as in `contents_of`. With it they may have any names and lie at
            any depth; the style is that of the file name, or else the name of the folder that holds the image.

    Raises:
        FileNotFoundError: If the root, its class folders or the images in one of them are missing.
        ValueError: If a file name or `content_words` does not say what the image shows.
    """

    def __init__(self, root: str | Path, content_words: str | dict[str, str] | None = None) -> None:
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"There is no folder `{root}`. Expected style references as {LAYOUT}. {WAY_OUT}")
        folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        names = {spelling for folder in folders for spelling in (folder.name, folder.name.lower())}
        classes = sorted({*CONTENTS, *names} - set(MISSPELT))
        if content_words is None:
            paths = _images_in_class_folders(root, folders)
            entries = [_entry(root, path, *_parsed(path, classes)) for path in paths]
        else:
            paths = _images_anywhere(root)
            contents = contents_of([path.relative_to(root).as_posix() for path in paths], content_words)
            pairs = zip(paths, contents, strict=True)
            entries = [_entry(root, path, content, _style_of(path, classes)) for path, content in pairs]
        super().__init__(root, entries)


def open_references(root: str | Path, content_words: str | dict[str, str] | None = None) -> ReferenceSet:
    """The style references of a folder of images, or of the shards that `scripts.pack_shards` wrote.

    `content_words` says what the images show, as in `contents_of`; None leaves that to file names and shards.
    """
    if not (Path(root) / SHARD_INDEX).is_file():
        return ReferenceFolder(root, content_words)
    from datamodules.shards import ReferenceShards

    shards = ReferenceShards(root)
    if content_words is not None:
        contents = contents_of([r.key + shards.source(r.index).suffix for r in shards.references], content_words)
        shards.references = [r._replace(content=contents[r.index]) for r in shards.references]
    return shards


def open_image(source: ImageSource, digest: str | None = None) -> tuple[Image.Image, str]:
    """The image, RGB, upright, in its own size, and the digest of its bytes.

    Raises:
        ValueError: Why it cannot be read, in one line, or that it has another digest than the one that is expected.
    """
    if source.suffix.lower() in (*UNREAD, *RAW):
        raise ValueError(f"Pillow reads no {source.suffix}; save it as .png")
    try:
        data = source.read()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if digest not in (None, digest_of(data)):
        raise ValueError("it was replaced after the start")
    return read_image(data), digest_of(data)


def check_sizes(root: Path, images: ReferenceSet) -> None:
    """Raises ValueError, naming them, if images of a set are too small or too long to show a style or a content."""
    sizes = zip(images.references, images.sizes, strict=True)
    unfit = [f"{images.source(r.index).name} ({w} x {h} pixels)" for r, (w, h) in sizes if _unfit(w, h)]
    if not unfit:
        return
    more = [f"and {len(unfit) - NAMES_IN_WARNING} more"] if len(unfit) > NAMES_IN_WARNING else []
    names = "\n  ".join([*unfit[:NAMES_IN_WARNING], *more])
    raise ValueError(
        f"{len(unfit)} of {len(images)} images of `{root}` are too small or too long to show a style or a content:\n"
        f"  {names}\nExpected {LEAST_SIDE} pixels a side or more, and a longer side of at most {GREATEST_ASPECT} "
        "times the shorter. Replace or crop them, or take them out of the folder."
    )


def _unfit(*sides: int) -> bool:
    return min(sides) < LEAST_SIDE or max(sides) > GREATEST_ASPECT * min(sides)


def _checked(entry: Entry) -> tuple[str, tuple[int, int]] | str:
    """Digest and size of an image, or what is wrong with it."""
    if not is_text("".join(entry[:3])):
        return "its name is not UTF-8; rename it"
    try:
        image, digest = open_image(entry.source)
    except ValueError as error:
        return str(error)
    return digest, image.size


def _check_for_tars(root: Path) -> None:
    if any(root.glob("*.tar")):
        raise FileNotFoundError(
            f"`{root}` holds tar files without their index `{SHARD_INDEX}`. Write both with "
            "`python -m scripts.pack_shards SOURCE TARGET`."
        )


def _images_in_class_folders(root: Path, folders: list[Path]) -> list[Path]:
    if not folders:
        _check_for_tars(root)
        raise FileNotFoundError(f"`{root}` has no class folder. Expected style references as {LAYOUT}. {WAY_OUT}")
    paths = [path for path in images_below(root, 3) if path.parent != root]
    filled = {root / path.relative_to(root).parts[0] for path in paths}
    empty = [folder for folder in folders if folder not in filled and not folder.is_symlink()]
    if empty or not paths:
        raise FileNotFoundError(
            f"The class folder `{(empty or folders)[0]}` holds no image. Expected {LAYOUT}. "
            "Put images there or remove the folder."
        )
    return paths


def _images_anywhere(root: Path) -> list[Path]:
    paths = images_below(root)
    if not paths:
        _check_for_tars(root)
        raise FileNotFoundError(
            f"There is no image below `{root}`. Expected {', '.join(SUFFIXES)} at any depth. "
            "Point `train` and `test` of the datamodule to folders with images."
        )
    return paths


def _style_of(path: Path, classes: list[str]) -> str:
    """Style in a file name that begins with an article, as the published ones do, or else the folder's name."""
    folder = Path(os.path.abspath(path)).parent.name  # not `resolve`: a link belongs to the folder that holds it
    try:
        style = parse_reference_name(path.stem, classes)[1] if path.stem.startswith(("a-", "an-")) else ""
    except ValueError:
        style = ""
    return style or folder


def _parsed(path: Path, classes: list[str]) -> tuple[str, str]:
    if not is_text(path.name):
        return "", ""  # it is skipped
    try:
        content, style = parse_reference_name(path.stem, classes)
        return content.replace("_", " "), style
    except ValueError as error:
        raise ValueError(
            f"The file name of `{path}` does not say what the image shows. {error} "
            "The name of a class folder is a known class. Images with any other names are read with `content_words`."
        ) from None


def _entry(root: Path, path: Path, content: str, style: str) -> Entry:
    return Entry(path.relative_to(root).with_suffix("").as_posix(), content, style, ImageFile(path))


def _check_keys(entries: list[Entry]) -> None:
    for one, other in pairwise(entries):
        if one.key == other.key:
            raise ValueError(
                f"`{one.source.name}` and `{other.source.name}` have the same name but for the suffix. "
                "Names without suffix tell references apart: rename or remove one of the two."
            )


def _report(root: Path, skipped: dict[str, str], n_readable: int) -> None:
    if not skipped:
        return
    named = [f"{name} ({what})" for name, what in list(skipped.items())[:NAMES_IN_WARNING]]
    if len(skipped) > NAMES_IN_WARNING:
        named.append(f"and {len(skipped) - NAMES_IN_WARNING} more")
    names = "\n  ".join(named)
    if not n_readable:
        raise ValueError(f"None of the {len(skipped)} images of `{root}` can be read; copy them again:\n  {names}")
    n_images = len(skipped) + n_readable
    rank_zero_warn(f"{len(skipped)} of {n_images} images of `{root}` cannot be read and are skipped:\n  {names}")
