"""Sets of style references: what is there, what it shows, and its pixels."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

from datamodules.batches import Reference, digest_of
from datamodules.images import SUFFIXES, ImageFile, images_below
from datamodules.reading import listed
from datamodules.vocabulary import CONTENTS, MISSPELT, contents_of, is_text, parse_reference_name, shown

LAYOUT = (
    "`<root>/<class>/<class>/<article>-<class>-...-<style>_<number>.jpg` "
    f"(or one class folder deep; {', '.join(SUFFIXES)}), for example `frog/frog/a-frog-in-lego toy_0.jpg`"
)
WAY_OUT = (
    "Point `train` and `test` of the datamodule to such folders, or take the datamodule "
    "`datamodules.miniature.references.MiniatureReferences`, which draws a small set of its own. Images with "
    "any other names are read with `content_words`, which says what they show."
)
LEAST_SIDE = 8
"""Pixels."""
GREATEST_ASPECT = 20
"""Longer side / shorter side."""


class Entry(NamedTuple):
    """One image of a set before it is known whether it can be read."""

    key: str
    content: str
    style: str
    file: ImageFile
    content_map: ImageFile | None = None


class ReferenceSet:
    """The readable images of a root, in the order of their keys; those whose content map is unreadable are left out.

    Each image is decoded once here, so that a damaged one is reported and left out now, on all ranks alike,
    and does not end a run hours later.

    Attributes:
        references: The references; `references[i].index == i`.
        files: The encoded file of each, in their order.
        sizes: Width and height of each, upright, in pixels.
        skipped: Place of each unreadable image -> what is wrong with it.

    Args:
        root: Folder of the set, for messages.
        entries: The images, in any order.
        check_sizes: None may be too small or too long to show a style or a content.

    Raises:
        ValueError: If two images have the same key, none can be read, or the size of one is unfit.
    """

    def __init__(self, root: Path, entries: Iterable[Entry], check_sizes: bool = False) -> None:
        ordered = sorted(entries)
        _check_keys(ordered)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            checked = list(zip(ordered, pool.map(_checked, ordered), strict=True))
        readable = [(entry, *found) for entry, found in checked if len(found) == 3]
        self.skipped = dict(found for _, found in checked if len(found) == 2)
        self.references = [Reference(i, *entry[:3], digest) for i, (entry, digest, *_) in enumerate(readable)]
        self.files = dict(zip(self.references, (entry.file for entry, *_ in readable), strict=True))
        self.sizes = [size for *_, size, _ in readable]
        self._maps = [(entry.content_map, digest_of_map) for entry, *_, digest_of_map in readable]
        n_skipped, names = len(self.skipped), listed(f"{name} ({what})" for name, what in self.skipped.items())
        if names and not readable:
            raise ValueError(f"None of the {n_skipped} images of `{root}` can be read; copy them again:\n  {names}")
        if names:
            of_all = f"{n_skipped} of {len(ordered)} images of `{root}`"
            rank_zero_warn(f"{of_all} cannot be read and are skipped:\n  {names}")
        if check_sizes:
            self._check_sizes(root)

    def __len__(self) -> int:
        """Number of readable references."""
        return len(self.references)

    @property
    def digest(self) -> str:
        """Tells the set from all others: other images, contents or styles, or another order."""
        return digest_of(repr([reference.identity for reference in self.references]).encode())

    def source(self, index: int) -> ImageFile:
        """The encoded file of a reference."""
        return self.files[self.references[index]]

    def image(self, index: int) -> Image.Image:
        """The image of a reference: RGB, upright, in its own size; ValueError if it can no longer be read."""
        return self.source(index).open(self.references[index].digest)[0]

    def content_map(self, index: int) -> Image.Image | None:
        """The contours of the same image, read alike; None where the set has none."""
        file, digest = self._maps[index]
        return None if file is None else file.open(digest)[0]

    def _check_sizes(self, root: Path) -> None:
        unfit = [
            f"{file.name} ({size[0]} x {size[1]} pixels)"
            for file, size in zip(self.files.values(), self.sizes, strict=True)
            if min(size) < LEAST_SIDE or max(size) > GREATEST_ASPECT * min(size)
        ]
        if unfit:
            raise ValueError(
                f"{len(unfit)} of {len(self)} images of `{root}` are too small or too long to show a style or a "
                f"content:\n  {listed(unfit)}\nExpected {LEAST_SIDE} pixels a side or more, and a longer side of at "
                f"most {GREATEST_ASPECT} times the shorter. Replace or crop them, or take them out of the folder."
            )


def read_reference_folder(
    root: str | Path, content_words: str | dict[str, str] | None = None, vocabulary: str = "nouns"
) -> ReferenceSet:
    """The style references below `<root>/<class>/<class>/` or `<root>/<class>/`, or anywhere with `content_words`.

    With these (see `contents_of`) the images may have any names and lie at any depth; the style is that of the file
    name, or else the name of the folder that holds the image.

    Raises:
        FileNotFoundError: If the root, its class folders or the images in one of them are missing.
        ValueError: If a file name or `content_words` does not say what the image shows.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder `{root}`. Expected style references as {LAYOUT}. {WAY_OUT}")
    folders = folders_in(root)
    names = {spelling for folder in folders for spelling in (folder.name, folder.name.lower())}
    classes = sorted({*CONTENTS, *names} - set(MISSPELT))
    if content_words is None:
        told = {path: _parsed(path, classes) for path in _images_in_class_folders(root, folders)}
    else:
        files = {path.relative_to(root).as_posix(): path for path in images_below(root)}
        if not files:
            missing = f"There is no image below `{root}`. Expected {', '.join(SUFFIXES)} at any depth."
            raise FileNotFoundError(f"{missing} Point `train` and `test` of the datamodule to folders with images.")
        words = zip(files.values(), contents_of(list(files), content_words, vocabulary), strict=True)
        told = {path: (content, _style_of(path, classes)) for path, content in words}
    keys = {path: path.relative_to(root).with_suffix("").as_posix() for path in told}
    return ReferenceSet(root, [Entry(keys[path], *words, ImageFile(path)) for path, words in told.items()])


def folders_in(root: Path) -> list[Path]:
    """The folders directly in a folder, by name, but for hidden ones."""
    return [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _checked(entry: Entry) -> tuple[str, tuple[int, int], str | None] | tuple[str, str]:
    """Digest and size of an image and digest of its map; or the place of what cannot be read, and why."""
    if not is_text("".join(entry[:3])):
        return shown(entry.file.name), "its name is not UTF-8; rename it"
    file = entry.content_map or entry.file
    try:
        digest_of_map = file.open()[1] if entry.content_map else None
        file = entry.file
        image, digest = file.open()
    except ValueError as error:
        return shown(file.name), str(error)
    return digest, image.size, digest_of_map


def _images_in_class_folders(root: Path, folders: list[Path]) -> list[Path]:
    if not folders:
        raise FileNotFoundError(f"`{root}` has no class folder. Expected style references as {LAYOUT}. {WAY_OUT}")
    paths = [path for path in images_below(root, 3) if path.parent != root]
    filled = {root / path.relative_to(root).parts[0] for path in paths}
    empty = [folder for folder in folders if folder not in filled and not folder.is_symlink()]
    if empty or not paths:
        told = f"The class folder `{(empty or folders)[0]}` holds no image."
        raise FileNotFoundError(f"{told} Expected {LAYOUT}. Put images there or remove the folder.")
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


def _check_keys(entries: list[Entry]) -> None:
    for one, other in pairwise(entries):
        if one.key == other.key:
            raise ValueError(
                f"`{one.file.name}` and `{other.file.name}` have the same name but for the suffix. "
                "Names without suffix tell references apart: rename or remove one of the two."
            )
