"""The datamodule of single pictures: files, folders or patterns, without a scheme of names."""

import os
from collections.abc import Sequence
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import Any

from datamodules.images import SUFFIXES, ImageFile, images_below
from datamodules.references import Entry, ReferenceSet
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import AUTO, contents_of

EXPECTED = f"Expected image files, folders of them, or patterns such as 'photos/*.jpg'; suffixes: {', '.join(SUFFIXES)}"


class Pictures(StyleReferences):
    """Pictures whose styles are transferred, named one by one. There is nothing to train on in them.

    Args:
        pictures: Image files, folders (with all that is below them) and glob patterns.
        content_words: What the pictures show, as in `StyleReferences`; paths count from the deepest folder that holds
            them all.
        kwargs: Arguments of `StyleReferences`, but for `train` and `test`.

    Raises:
        ValueError: If `pictures` is empty, or an argument of `StyleReferences` is wrong.
    """

    def __init__(
        self, pictures: Sequence[str], *, content_words: str | dict[str, str] | None = "auto", **kwargs: Any
    ) -> None:
        super().__init__(train="", test="", content_words=content_words, **kwargs)
        if isinstance(pictures, str) or not pictures:
            raise ValueError(f"`pictures` is a list of at least one picture and was {pictures!r}. {EXPECTED}.")
        self.pictures = list(pictures)

    @cached_property
    def train_set(self) -> ReferenceSet:
        """Raises ValueError: there is nothing to train on."""
        raise ValueError(
            "`Pictures` has no train set: it is for `validate`, `predict` and `sweep`. For `fit` take the datamodule "
            "`StyleReferences`, with your images as `train`, or `MiniatureReferences`."
        )

    @cached_property
    def test_set(self) -> ReferenceSet:
        """All pictures, read and checked once; their style has no name.

        Raises:
            FileNotFoundError: If there is no such picture, or none in a folder.
            ValueError: If `content_words` does not say what one shows, or none can be read.
        """
        files = named(self.pictures)
        contents = contents_of(list(files), self.content_words or AUTO, self.vocabulary)
        stems = [name.removesuffix(file.suffix) for name, file in files.items()]
        keys = [name if stems.count(stem) > 1 else stem for name, stem in zip(files, stems, strict=True)]
        told = zip(keys, contents, files.values(), strict=True)
        entries = [Entry(key, word, "", ImageFile(file)) for key, word, file in told]
        return ReferenceSet(Path(self.reference_roots[0]), entries)

    @property
    def reference_roots(self) -> list[str]:
        """The deepest folder that holds all pictures, for `Predictions.references`."""
        return [os.path.commonpath([file.parent for file in found(self.pictures)])]


def named(pictures: Sequence[str]) -> dict[str, Path]:
    """The images that are named, each once, by their paths below the deepest folder that holds all of them."""
    files = found(pictures)
    root = os.path.commonpath([file.parent for file in files])
    return {file.relative_to(root).as_posix(): file for file in files}


def found(pictures: Sequence[str]) -> list[Path]:
    """The absolute paths of all image files that are named, each once, in the order of the names.

    Raises:
        FileNotFoundError: If a name leads to no image.
    """
    files: dict[Path, None] = {}
    for name in pictures:
        path = Path(name).expanduser()
        if path.is_dir():
            there = images_below(path)
        else:
            names = [str(path)] if path.is_file() else sorted(glob(str(path)))
            there = [Path(each) for each in names if os.path.isfile(each)]
        if not there:
            what = f"the folder `{name}` holds no image" if path.is_dir() else f"there is no picture `{name}`"
            raise FileNotFoundError(f"`pictures`: {what}. {EXPECTED}.")
        files |= dict.fromkeys(Path(os.path.abspath(each)) for each in there)
    return list(files)
