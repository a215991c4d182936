"""Which image files lie in a folder, and whether they are large enough to show something."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from datamodules.images import SUFFIXES
from datamodules.references import NAMES_IN_WARNING, ReferenceSet

LEAST_SIDE = 8
"""Pixels."""
GREATEST_ASPECT = 20
"""Longer side / shorter side."""


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; hidden ones are left out."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in files if path.is_file())


def check_sizes(root: Path, images: ReferenceSet) -> None:
    """Raises ValueError, naming them, if images of a set are too small or too long to show a style or a content."""
    sizes = {images.source(index).name: _size(images.source(index).read()) for index in range(len(images))}
    unfit = [f"{name} ({width} x {height} pixels)" for name, (width, height) in sizes.items() if _unfit(width, height)]
    if not unfit:
        return
    more = [f"and {len(unfit) - NAMES_IN_WARNING} more"] if len(unfit) > NAMES_IN_WARNING else []
    names = "\n  ".join([*unfit[:NAMES_IN_WARNING], *more])
    raise ValueError(
        f"{len(unfit)} of {len(images)} images of `{root}` are too small or too long to show a style or a content:\n"
        f"  {names}\nExpected {LEAST_SIDE} pixels a side or more, and a longer side of at most {GREATEST_ASPECT} "
        "times the shorter. Replace or crop them, or take them out of the folder."
    )


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(data)) as image:  # reads the header alone
        return image.size


def _unfit(*sides: int) -> bool:
    return min(sides) < LEAST_SIDE or max(sides) > GREATEST_ASPECT * min(sides)
