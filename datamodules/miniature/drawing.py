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
    """Has `draw` draw the folder `root`, of which it is given a name that does not exist yet, if it is not there.

    The `recipe`, what the drawings depend on, is kept in the folder. Raises ValueError if the folder is there and was
    drawn by another one, WriteError if the disk is full or the folder cannot be written.
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
