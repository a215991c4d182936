"""Draws a folder once, whole or not at all, and knows it again."""

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from datamodules.files import WriteError, has_left_overs, replacing_folder, write_text
from datamodules.reading import read_json

RECIPE = "recipe.json"


def recipe_of(drawing_seed: int, **numbers: int) -> dict[str, int]:
    """What drawings depend on; ValueError if a number is below 1 or the seed below 0."""
    for name, value in {**numbers, "drawing_seed": drawing_seed}.items():
        least = 0 if name == "drawing_seed" else 1
        if value < least:
            raise ValueError(f"`{name}` is a number from {least} up and was {value}.")
    return {**numbers, "seed": drawing_seed}


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
    is_there = root.exists()
    if not is_there or has_left_overs(root):
        target = root.resolve()
        with suppress(WriteError) if is_there else nullcontext(), replacing_folder(target, "root", wait=True) as new:
            if not root.exists():  # else another run has drawn it meanwhile
                draw(new)
                write_text(new / RECIPE, json.dumps(recipe) + "\n")
    recipe_file = root / RECIPE
    drawn = read_json(recipe_file, "root", "Remove that folder.") if recipe_file.is_file() else None
    if drawn != recipe:
        raise ValueError(
            f"`{root}` was drawn with {drawn}, but {recipe} is asked for. "
            "Remove that folder to have it drawn again, or choose another one."
        )
