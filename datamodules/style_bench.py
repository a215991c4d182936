"""The datamodule of StyleBench: many styles in a folder each, and content images named by their prompts."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from datamodules.batches import Reference
from datamodules.images import SUFFIXES, ImageFile, images_in
from datamodules.reading import listed
from datamodules.references import Entry, ReferenceSet, folders_in
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import contents_of

ROOT = "data/style_evaluation_benchmark_v2"
CONTENT = "content"
"""A folder of this name below the root holds content images and is no style."""
WAY_OUT = (
    f"Expected style references as `<root>/<style>/<file>`, with a suffix among {', '.join(SUFFIXES)}. Give as `root` "
    "the folder whose folders are the styles, or take the datamodule `MiniatureStyleBench`, which draws a small one."
)
FOREGROUND = "person, animal, plant, or object in the foreground"
PROMPTS = (
    *("A bench", "A bird", "A butterfly", "An elephant", "A car", "A dog", "A cat", "A laptop", "A moose"),
    *("A penguin", "A robot", "A rocket", "An ancient temple surrounded by lush vegetation"),
    *("A chef preparing meals in kitchen", "A colorful butterfly resting on a flower"),
    *("A house with a tree beside", "A person jogging along a scenic trail"),
    *("A student walking to school with backpack", "A wolf walking stealthily through the forest"),
    "A wooden sailboat docked in a harbor",
)
"""The text prompts of StyleBench."""


class StyleBench(StyleReferences):
    """The references of StyleBench, whose styles are drawn by text prompts or transferred onto content images.

    There is nothing to train on in it: it is for `validate`, `test` and `predict`.

    Args:
        root: Folder `<root>/<style>/<file>`; a folder `content` in it is no style.
        styles: Names of the style folders that are transferred; null takes all. The pictures of a style are the
            same, and have the same names, whatever other styles are chosen.
        prompts: What is drawn in the style of each reference, without `content_images`.
        content_words: What the references show: a word or phrase for all, or words by file name or by a glob
            pattern over the path below the root, of which the first that matches counts; "auto" finds them among a
            `vocabulary`. null: the published phrase.
        kwargs: Arguments of `StyleReferences`, but for `train` and `test`.

    Raises:
        ValueError: If `styles` is no list of names, or an argument of `StyleReferences` is wrong.
    """

    def __init__(
        self,
        root: str = ROOT,
        styles: Sequence[str] | None = None,
        *,
        prompts: Sequence[str] = PROMPTS,
        content_words: str | dict[str, str] | None = FOREGROUND,
        **kwargs: Any,
    ) -> None:
        super().__init__(train=root, test=root, prompts=prompts, content_words=content_words, **kwargs)
        if isinstance(styles, str) or (styles is not None and not styles):
            raise ValueError(
                f"`styles` is a list of at least one style folder and was {styles!r}. "
                f"Give {[styles] if styles else ['lego toy']}, for example, or null for all styles."
            )
        self.root = root
        self.styles = None if styles is None else list(styles)

    @cached_property
    def train_set(self) -> ReferenceSet:
        """Raises ValueError: StyleBench is for evaluation alone."""
        raise ValueError(
            f"`{type(self).__name__}` has no train set: its references are for `validate`, `test` and `predict`. For "
            "`fit` take the datamodule `StyleReferences`, with your images as `train`, or `MiniatureReferences`."
        )

    @cached_property
    def test_set(self) -> ReferenceSet:
        """All references below the root, read and checked once.

        Raises:
            FileNotFoundError: If the root, its style folders or the images in one of them are missing.
            ValueError: If `content_words` does not say what an image shows, or an image is too small or too long.
        """
        root = Path(self.root)
        if not root.is_dir():
            raise FileNotFoundError(f"There is no folder `{root}`. {WAY_OUT}")
        images = {folder: images_in(folder) for folder in folders_in(root) if folder.name != CONTENT}
        if not images:
            raise FileNotFoundError(f"`{root}` has no style folder. {WAY_OUT}")
        if empty := [folder.name for folder, paths in images.items() if not paths]:
            raise FileNotFoundError(
                f"{len(empty)} of {len(images)} style folders of `{root}` hold no image: "
                f"{listed(map(repr, empty), between=', ')}. Put images directly into them, or remove them. {WAY_OUT}"
            )
        files = {f"{path.parent.name}/{path.name}": path for paths in images.values() for path in paths}
        words = self.content_words or FOREGROUND
        told = zip(files.values(), contents_of(list(files), words, self.vocabulary), strict=True)
        places = [(path, content, path.parent.name) for path, content in told]
        entries = [Entry(f"{style}/{path.stem}", content, style, ImageFile(path)) for path, content, style in places]
        return ReferenceSet(root, entries, check_sizes=True)

    def setup(self, stage: str) -> None:
        """Reads what the stage needs, so that a fault in it is named before a model is loaded."""
        super().setup(stage)
        self._transferred()

    def _transferred(self) -> list[Reference]:
        """The references of the chosen styles; their numbers stay those within the whole set."""
        there = sorted({reference.style for reference in self.test_set.references})
        chosen = there if self.styles is None else self.styles
        if unknown := [style for style in chosen if style not in there]:
            raise ValueError(
                f"`styles` names {', '.join(map(repr, unknown))}, of which `{self.root}` has no readable image. "
                f"There are: {', '.join(map(repr, there))}."
            )
        return [reference for reference in self.test_set.references if reference.style in chosen]
