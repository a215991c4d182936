"""How lines are found in pixels: Canny's edges, and the two networks that StyleShot's content maps come from.

Canny (PAMI-8(6), 1986) is, unlike scikit-image's, on colours, with contrasts as thresholds: a step of height c, blurred
by a Gaussian of standard deviation sigma, has a gradient of at most c / (sigma sqrt(2 pi)), so that gradients are
divided by that of a step of 1. Names of the networks' submodules are those of the public files.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import pi, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
# Standard deviation of the narrowest Gaussian whose sampled derivative still is one, in pixels.
_LEAST_SIGMA = 0.8
# A line is followed down to this share of the contrast at which one starts, as Canny advises (a third to a half).
_FOLLOWED = 0.4


def canny(pixels: NDArray[np.uint8], blur: float, least_contrast: float, sure_contrast: float, dilation: int) -> Mask:
    """True `(height, width)` on edges of the pixels `(height, width, 3)`, 0 to 255; see `EdgeDetector`."""
    sigma = max(_LEAST_SIGMA, blur * min(pixels.shape[:2]))
    contrast, gradient = step_contrast(pixels.astype(np.float32) / 255, sigma)
    start = np.clip(otsu_threshold(contrast), least_contrast, sure_contrast)
    ridges = thin_ridges(contrast, gradient, _FOLLOWED * start)
    labels, number = ndimage.label(ridges, np.ones((3, 3)))  # corners connect too
    reached = np.zeros(number + 1, dtype=bool)
    reached[labels[ridges & (contrast >= start)]] = True
    return np.asarray(ndimage.maximum_filter(reached[labels], 2 * dilation + 1, mode="constant"))


def step_contrast(pixels: Floats, sigma: float) -> tuple[Floats, Floats]:
    """The contrast of the step at each of the pixels `(height, width, channels)`, in the channel with the largest.

    Contrasts `(height, width)` are in the unit of the pixels, and the lengths of the gradients `(2, height, width)`,
    down and right; `sigma`, in pixels, is the standard deviation of the Gaussian.
    """
    scale, sigmas = sigma * sqrt(2 * pi), (sigma, sigma, 0)
    down, right = (ndimage.gaussian_filter(pixels, sigmas, order, mode="nearest") for order in ((1, 0, 0), (0, 1, 0)))
    gradients = np.stack([scale * down, scale * right])
    strongest = np.hypot(*gradients).argmax(axis=-1)
    gradient = np.take_along_axis(gradients, strongest[None, ..., None], axis=-1)[..., 0]
    return np.hypot(*gradient), gradient


def otsu_threshold(values: Floats) -> float:
    """The threshold between two classes of values whose means differ most (Otsu, SMC-9(1), 1979); of equal ones theirs.

    Classes are unions of 256 equal intervals.
    """
    if values.min() == values.max():
        return float(values.max())
    counts, borders = np.histogram(values, 256)
    centres = (borders[:-1] + borders[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    difference = (sums[-1] - sums[:-1]) / above - sums[:-1] / below
    return float(borders[1 + np.argmax(below * above * difference**2)])


def thin_ridges(contrast: Floats, gradient: Floats, least: float) -> Mask:
    """True where a contrast `(height, width)` of `least` (> 0) or more exceeds those one pixel across the step.

    These are interpolated; `gradient` `(2, height, width)` has the lengths `contrast`.
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


class HED(nn.Module):
    """Holistically-nested edge detection (Xie and Tu, arXiv 1504.06375), in the variant published with ControlNet."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1, 3, 1, 1))
        for number, (inputs, channels) in enumerate(pairwise((3, 64, 128, 256, 512, 512)), start=1):
            self.add_module(f"block{number}", _SideBlock(inputs, channels, layers=2 if number < 3 else 3))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Five side outputs of RGB pixels `(batch, 3, height, width)`, 0 to 255, with sides of at least 16.

        These are logits `(batch, 1, height / 2**k, width / 2**k)`, rounded down, for k = 0 .. 4.
        """
        hidden, sides = pixels - self.norm, []
        for number, block in enumerate(self.children()):
            hidden, side = block(functional.max_pool2d(hidden, 2) if number else hidden)
            sides.append(side)
        return sides


class _SideBlock(nn.Module):
    def __init__(self, inputs: int, channels: int, layers: int) -> None:
        super().__init__()
        widths = [inputs, *[channels] * layers]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.projection = nn.Conv2d(channels, 1, 1)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            hidden = functional.relu(conv(hidden))
        return hidden, self.projection(hidden)


def contour_map(sides: Sequence[Tensor], size: tuple[int, int], threshold: int = 200) -> Tensor:
    """StyleShot's contour of a picture: HED's mean side output, thresholded and thickened by one pixel.

    `sides` are logits `(batch, 1, *, *)`, enlarged bilinearly to the picture's `size` (height, width); `threshold` is
    the largest of the values 0 .. 255, rounded down, that is no line. Bool `(batch, 1, height, width)`, True on lines.
    """
    logits = torch.stack([functional.interpolate(side, size, mode="bilinear") for side in sides]).mean(dim=0)
    values = (logits.cpu().double().sigmoid() * 255).floor()
    return functional.max_pool2d((values > threshold).float(), 3, stride=1, padding=1) > 0


class LineartGenerator(nn.Module):
    """Informative drawings (Chan et al., arXiv 2203.12691): a picture as a pencil would draw it.

    The normalisations have neither weights nor running statistics, so that only the convolutions have keys.
    """

    def __init__(self) -> None:
        super().__init__()
        half: dict[str, Any] = {"stride": 2, "padding": 1}
        twice = half | {"output_padding": 1}
        down, up = nn.Conv2d, nn.ConvTranspose2d
        self.model0 = nn.Sequential(nn.ReflectionPad2d(3), *_normed(nn.Conv2d(3, 64, 7)))
        self.model1 = nn.Sequential(*_normed(down(64, 128, 3, **half)), *_normed(down(128, 256, 3, **half)))
        self.model2 = nn.Sequential(*(_ResidualBlock(256) for _ in range(3)))
        self.model3 = nn.Sequential(*_normed(up(256, 128, 3, **twice)), *_normed(up(128, 64, 3, **twice)))
        self.model4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(64, 1, 7), nn.Sigmoid())

    def forward(self, pixels: Tensor) -> Tensor:
        """Dark lines on white `(batch, 1, height, width)`, 0 to 1, of RGB pixels, 0 to 1, with sides of at least 5."""
        height, width = pixels.shape[-2:]
        for part in self.children():
            pixels = part(pixels)
        # Sides that 4 does not divide come out longer, at the bottom and at the right.
        return pixels[..., :height, :width]


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = ([nn.ReflectionPad2d(1), *_normed(nn.Conv2d(channels, channels, 3))] for _ in range(2))
        self.conv_block = nn.Sequential(*first, *second[:-1])

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv_block(hidden)


def _normed(conv: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]
