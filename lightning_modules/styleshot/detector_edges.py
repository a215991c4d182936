"""Thin edges of a picture without trained weights (Canny, PAMI-8(6), 1986), on numpy arrays.

A step of height c, blurred by a Gaussian of standard deviation sigma, has a gradient of at most c / (sigma sqrt(2 pi)).
Gradients are divided by that of a step of height 1: thresholds are then contrasts, whatever the size of the picture.
"""

from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def step_contrast(pixels: Floats, sigma: float) -> tuple[Floats, Floats]:
    """The contrast of the step at each pixel and the direction across it, both of the channel with the largest.

    Args:
        pixels: `(height, width, channels)`.
        sigma: standard deviation of the Gaussian in pixels; below about 0.8 its sampled derivative is wrong.

    Returns:
        Contrasts `(height, width)` in the unit of the pixels, and gradients `(2, height, width)`, down and right, whose
        lengths they are.
    """
    scale = sigma * sqrt(2 * pi)
    gradients = np.stack(
        [
            scale * ndimage.gaussian_filter(pixels, (sigma, sigma, 0), order, mode="nearest")
            for order in ((1, 0, 0), (0, 1, 0))
        ]
    )
    strongest = np.hypot(*gradients).argmax(axis=-1)
    gradient = np.take_along_axis(gradients, strongest[None, ..., None], axis=-1)[..., 0]
    return np.hypot(*gradient), gradient


def otsu_threshold(values: Floats, bins: int = 256) -> float:
    """The threshold between two classes of values whose means differ most (Otsu, SMC-9(1), 1979).

    Args:
        values: any shape; where all are equal, their value is the threshold.
        bins: classes are unions of this many equal intervals.
    """
    if values.min() == values.max():
        return float(values.max())
    counts, borders = np.histogram(values, bins)
    centres = (borders[:-1] + borders[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    difference = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    return float(borders[1 + np.argmax(below * above * difference**2)])


def thin_ridges(contrast: Floats, gradient: Floats, least: float) -> Mask:
    """True where a contrast of `least` (> 0) or more exceeds those one pixel across the step, which are interpolated.

    Args:
        contrast: `(height, width)`.
        gradient: `(2, height, width)`, of the lengths `contrast`.
        least: smallest contrast of a ridge.
    """
    rows, columns = places = np.nonzero(contrast >= least)
    here = contrast[places]
    step = gradient[:, rows, columns] / here
    ahead, behind = (
        ndimage.map_coordinates(contrast, np.stack(places) + way * step, order=1, mode="nearest") for way in (1, -1)
    )
    ridges = np.zeros(contrast.shape, dtype=bool)
    # Strict on one side alone: a step between two pixels is as steep on both, and is one line.
    ridges[places] = (here > ahead) & (here >= behind)
    return ridges


def connected_to(seeds: Mask, lines: Mask) -> Mask:
    """Those of the `lines` `(height, width)` that are connected, corners included, to a seed on a line."""
    labels, number = ndimage.label(lines, _NEIGHBOURS)
    reached = np.zeros(number + 1, dtype=bool)
    reached[labels[seeds & lines]] = True
    return reached[labels]


def thickened(lines: Mask, radius: int) -> Mask:
    """The lines `(height, width)`, each pixel grown to a square of side 2 `radius` + 1."""
    return np.asarray(ndimage.maximum_filter(lines, 2 * radius + 1, mode="constant"))
