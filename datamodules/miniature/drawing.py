"""Draws a folder once, whole or not at all, and knows it again."""

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from datamodules.files import WriteError, write_text
from datamodules.folders import has_left_overs, replacing_folder
from datamodules.reading import read_json

RECIPE = "recipe.json"


def drawn_once(root: str | Path, recipe: dict[str, int], draw: Callable[[Path], object]) -> None:
    """Draws the folder `root` if it is not there.

    Args:
        root: The folder.
        recipe: What the drawings depend on; it is kept in the folder.
        draw: Draws into the folder that it is given, which does not exist yet.

    Raises:
        ValueError: If the folder is there and was drawn by another recipe.
        WriteError: If the disk is full or the folder cannot be written.
    """
    root = Path(root)
    if not root.exists() or has_left_overs(root):
        _draw(root.resolve(), recipe, draw)
    recipe_file = root / RECIPE
    drawn = read_json(recipe_file, "root", "Remove that folder.") if recipe_file.is_file() else None
    if drawn != recipe:
        raise ValueError(
            f"`{root}` was drawn with {drawn}, but {recipe} is asked for. "
            "Remove that folder to have it drawn again, or choose another one."
        )


def _draw(root: Path, recipe: dict[str, int], draw: Callable[[Path], object]) -> None:
    is_there = root.exists()
    with suppress(WriteError) if is_there else nullcontext(), replacing_folder(root, "root", wait=True) as staging:
        if not root.exists():  # else another run has drawn it meanwhile
            draw(staging)
            write_text(staging / RECIPE, json.dumps(recipe) + "\n")
