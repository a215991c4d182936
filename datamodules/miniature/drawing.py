"""Draws a folder once, whole or not at all, and knows it again."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

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
    """
    root = Path(root)
    if not root.exists():
        _draw(root.resolve(), recipe, draw)
    recipe_file = root / RECIPE
    drawn = read_json(recipe_file, "root", "Remove that folder.") if recipe_file.is_file() else None
    if drawn != recipe:
        raise ValueError(
            f"`{root}` was drawn with {drawn}, but {recipe} is asked for. "
            "Remove that folder to have it drawn again, or choose another one."
        )


def _draw(root: Path, recipe: dict[str, int], draw: Callable[[Path], object]) -> None:
    staging = root.with_name(f".{root.name}.partial-{os.getpid()}")
    try:
        draw(staging)
        (staging / RECIPE).write_text(json.dumps(recipe) + "\n", encoding="utf-8")
        staging.rename(root)  # so that an interrupted drawing never looks like a whole one
    except OSError:
        if not root.exists():  # else another run has drawn it meanwhile
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
