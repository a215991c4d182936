"""Draws icons, and writes them to disk."""

import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product, repeat
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread

import numpy as np
from PIL import Image
from tqdm import tqdm

from datamodules.files import write_atomically
from datamodules.miniature import held_out_styles, train_styles
from datamodules.miniature.bench_styles import BENCH_STYLES, plain
from datamodules.miniature.canvas import Canvas
from datamodules.miniature.contents import shape
from datamodules.vocabulary import reference_name

Drawing = tuple[str, str, int | Sequence[int]]  # content, style, seed
_FEW = 500  # are drawn before other processes have started
STYLES: dict[str, Callable[[Canvas], None]] = {
    "natural environment": train_styles.natural_environment,
    "rainy day": train_styles.rainy_day,
    "snowy day": train_styles.snowy_day,
    "3D model": train_styles.model_3d,
    "abstract": train_styles.abstract,
    "cyberpunk": train_styles.cyberpunk,
    "oil painting": train_styles.oil_painting,
    "realism": train_styles.realism,
    "watercolor": train_styles.watercolor,
    "beautiful landscape": train_styles.beautiful_landscape,
    "lego toy": held_out_styles.lego_toy,
    "statue": held_out_styles.statue,
    "steampunk": held_out_styles.steampunk,
    "stick figure": held_out_styles.stick_figure,
    "tattoo": held_out_styles.tattoo,
    "line art": held_out_styles.line_art,
    "wool toy": held_out_styles.wool_toy,
    "surround with colored smoke": held_out_styles.colored_smoke,
    "pop art": held_out_styles.pop_art,
    "surround with white smoke": held_out_styles.white_smoke,
    **BENCH_STYLES,
    "plain": plain,
}


def draw(content: str, style: str, seed: int | Sequence[int], size: int = 64) -> Image.Image:
    """An RGB icon of `size` x `size` pixels that depends on the arguments alone; seeds are not negative.

    Raises ValueError on an unknown content or style.
    """
    seeds = [seed] if isinstance(seed, int) else seed
    rng = np.random.default_rng([zlib.crc32(content.encode()), zlib.crc32(style.encode()), *seeds])
    canvas = Canvas(shape(content, rng), rng, size)
    if style not in STYLES:
        raise ValueError(
            f"`style` must be one of {', '.join(STYLES)}; got {style!r}. "
            "Write it as a function of a canvas and add it to `STYLES`."
        )
    STYLES[style](canvas)
    return Image.fromarray((np.clip(canvas.image, 0, 1) * 255 + 0.5).astype(np.uint8))


def in_all_styles(
    folder: str, contents: Iterable[str], styles: Iterable[str], each: int, seed: int
) -> dict[str, Drawing]:
    """`each` drawings of every content in every style, by file: `<folder>/<article>-<content>-in-<style>_<i>.png`.

    In `folder` the word "{content}" stands for the content.
    """
    return {
        f"{folder.format(content=content)}/{reference_name(content, style, index)}.png": (content, style, [seed, index])
        for content, style, index in product(contents, styles, range(each))
    }


def write_drawings(root: Path, drawings: Mapping[str, Drawing]) -> None:
    """Draws every file in the folder `root`, many of them on all cores; ValueError on an unknown content or style."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=_end_with_parent) as pool:
        jobs = repeat(root), drawings, drawings.values()
        written = map(_write, *jobs) if len(drawings) < _FEW else pool.map(_write, *jobs, chunksize=20)
        for _ in tqdm(written, f"drawing into {root}", len(drawings), unit=" pictures"):
            pass


def _write(root: Path, file: str, drawing: Drawing) -> None:
    write_atomically(root / file, partial(draw(*drawing).save, format="PNG"))


def _end_with_parent() -> None:
    """A worker whose parent is killed waits for ever otherwise."""

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
