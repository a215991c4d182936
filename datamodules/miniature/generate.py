"""Draws icons and writes them to disk in the layout of the published style references."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product, repeat
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread

import numpy as np
from PIL import Image
from rich.progress import track

from datamodules.files import write_png, write_text
from datamodules.miniature.shapes import shape
from datamodules.miniature.styles import stylise
from datamodules.vocabulary import content_prompt, reference_name


def draw(content: str, style: str, seed: int | Sequence[int], size: int = 64) -> Image.Image:
    """An RGB icon of `size` x `size` pixels that depends on the arguments alone; seeds are not negative.

    Raises ValueError on an unknown content or style.
    """
    seeds = [seed] if isinstance(seed, int) else seed
    rng = np.random.default_rng([zlib.crc32(content.encode()), zlib.crc32(style.encode()), *seeds])
    picture = stylise(shape(content, rng), style, rng, size)
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def write_dataset(
    root: str | Path, contents: Sequence[str], styles: Sequence[str], per_style: int, seed: int
) -> list[Path]:
    """The paths `<root>/<class>/<class>/<article>-<class>-in-<style>_<i>.png`; draws those that do not exist.

    Raises ValueError when `per_style` is below 1 or a content or style is unknown.
    """
    if per_style < 1:
        raise ValueError(f"`per_style` must be at least 1 image of each content and style; got {per_style}.")
    paths = []
    jobs = list(product(contents, styles, range(per_style)))
    for content, style, index in track(jobs, description=f"drawing into {root}"):
        path = Path(root) / content / content / f"{reference_name(content, style, index)}.png"
        if not path.exists():
            write_png(path, draw(content, style, [seed, index]))
        paths.append(path)
    return paths


def write_style_bench(
    root: str | Path,
    styles: Sequence[str],
    contents: Sequence[str],
    per_style: int,
    drawn_plainly: Sequence[str],
    seed: int,
) -> None:
    """Draws `<root>/styles/<style>/<content>_<i>.png` and `<root>/content/<prompt>.png`, as StyleBench lies on disk.

    Style s shows `per_style` contents in turn, beginning with content s; `drawn_plainly` has the contents of the
    content images. Raises ValueError when a content or style is unknown.
    """
    for place, style in enumerate(styles):
        for index in range(per_style):
            content = contents[(place + index) % len(contents)]
            write_png(Path(root) / "styles" / style / f"{content}_{index}.png", draw(content, style, [seed, index]))
    for content in drawn_plainly:
        write_png(Path(root) / "content" / f"{content_prompt(content)}.png", draw(content, "plain", seed))


def write_captioned(root: str | Path, contents: Sequence[str], styles: Sequence[str], per_pair: int, seed: int) -> None:
    """Draws `<root>/images/<content>/<article>-<content>-in-<style>_<i>.png` on all cores, and their captions.

    `<root>/captions.jsonl` has a line for each, in the format of `CaptionedSet`; its prompt names the content, never
    the style. Raises ValueError when a content or style is unknown.
    """
    pairs = list(product(contents, styles))
    with ProcessPoolExecutor(os.cpu_count(), initializer=_end_with_parent) as pool:
        drawn = pool.map(_write_pair, pairs, repeat(Path(root)), repeat(per_pair), repeat(seed))
        lines = [line for pair in track(drawn, f"drawing into {root}", total=len(pairs)) for line in pair]
    text = "\n".join(json.dumps(line) for line in lines)
    write_text(Path(root) / "captions.jsonl", f"{text}\n")


def _end_with_parent() -> None:
    """A worker whose parent is killed waits for ever otherwise."""

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _write_pair(pair: tuple[str, str], root: Path, count: int, seed: int) -> list[dict[str, str]]:
    """Draws `count` images of a content in a style and returns their captions."""
    content, style = pair
    images = [f"images/{content}/{reference_name(content, style, index)}.png" for index in range(count)]
    for index, image in enumerate(images):
        write_png(root / image, draw(content, style, [seed, index]))
    return [{"image": image, "prompt": content_prompt(content)} for image in images]
