"""The styles by name: those of the published split, those of the bench, and a plain one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datamodules.miniature import bench_styles, held_out_styles, train_styles
from datamodules.miniature.canvas import Picture
from datamodules.miniature.geometry import Part

STYLES: dict[str, Callable[[list[Part], np.random.Generator, int], Picture]] = {
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
    **bench_styles.BENCH_STYLES,
    "plain": bench_styles.plain,
}


def stylise(parts: list[Part], style: str, rng: np.random.Generator, size: int) -> Picture:
    """The parts painted in a style: float32 (size, size, 3) in [0, 1]; ValueError on an unknown name."""
    if style not in STYLES:
        raise ValueError(
            f"`style` must be one of {', '.join(STYLES)}; got {style!r}. "
            "Write it as a function of parts, generator and size and add it to `STYLES`."
        )
    return STYLES[style](parts, rng, size)
