"""Tiny folders of style references in the published layout, each image of one colour of its own."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from datamodules.batches import Job, JobBatch

CONTENTS = ("bird", "cat", "dog")
STYLES = ("lego toy", "line art")


def write_folder(
    root: Path, contents: tuple[str, ...] = CONTENTS, styles: tuple[str, ...] = STYLES, per_style: int = 2
) -> Path:
    """Writes contents x styles x per_style PNG images of 4 x 6 pixels and returns the root."""
    number = 0
    for content in contents:
        folder = root / content / content
        folder.mkdir(parents=True)
        for style in styles:
            for i in range(per_style):
                colour = (number % 256, number // 256, 200)
                Image.new("RGB", (4, 6), colour).save(folder / f"a-{content}-in-{style}_{i}.png")
                number += 1
    return root


def write_image(path: Path, colour: tuple[int, int, int] = (10, 20, 30)) -> Path:
    """Writes one image of 4 x 6 pixels, with its folders, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 6), colour).save(path)
    return path


def spoil(path: Path, keep: float = 0.5) -> Path:
    """Cuts a file off after a share of its bytes, as an interrupted copy does, and returns its path."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def jobs_of(batches: Iterable[JobBatch]) -> list[Job]:
    """All jobs of some batches, in order."""
    return [job for batch in batches for job in batch["jobs"]]
