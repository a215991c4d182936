"""Painting parts and the textures that styles share; images are float32 (size, size, 3) in [0, 1]."""

from __future__ import annotations

import colorsys
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from datamodules.miniature.geometry import FRAME, Part

Picture = NDArray[np.floating]
Colour = tuple[float, float, float]
Stroke = tuple[str, list[tuple[float, float]], float]
SUPERSAMPLING = 3


class Palette(NamedTuple):
    """The colour of each role."""

    body: Colour
    accent: Colour
    light: Colour
    dark: Colour


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """An RGB colour from hue (any real, 1 is a full turn), saturation and value in [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def paint(
    parts: list[Part], palette: Palette, size: int, line: Colour | None = None, width: float = 0.0
) -> tuple[Picture, Picture]:
    """Colours (size, size, 3) and opacity (size, size, 1) of the object; lines are `width` frame units thick.

    Neighbours in the list that share a role are outlined as one form; dark details get a thin line at most.
    """
    scale = size * SUPERSAMPLING / FRAME
    layer = Image.new("RGBA", (size * SUPERSAMPLING,) * 2, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    for role, group in groupby(parts, key=lambda part: part.role):
        paths = [[(x, y) for x, y in (part.points * scale).tolist()] for part in group]
        if line is not None:
            # a full line would swell eyes and whiskers into blots
            thickness = round(2 * scale * (min(width, 0.5) if role == "dark" else width))
            for path in paths:
                draw.line([*path, path[0], path[1]], _bytes(line), thickness, joint="curve")
        for path in paths:
            draw.polygon(path, _bytes(getattr(palette, role)))
    pixels = np.asarray(layer.reduce(SUPERSAMPLING), dtype=np.float32) / 255
    return pixels[..., :3], pixels[..., 3:]


def over(background: Picture, colours: Picture | Colour, opacity: Picture) -> Picture:
    """The colours laid over the background with the given opacity in [0, 1]."""
    return background + (np.asarray(colours, dtype=np.float32) - background) * opacity


def flat(colour: Colour, size: int) -> Picture:
    """One colour everywhere."""
    return np.full((size, size, 3), colour, dtype=np.float32)


def gradient(stops: list[Colour], size: int) -> Picture:
    """A vertical run through the colours, first on top."""
    place = np.linspace(0, 1, len(stops))
    rows = np.linspace(0, 1, size)
    columns = [np.interp(rows, place, [stop[channel] for stop in stops]) for channel in range(3)]
    return np.repeat(np.stack(columns, axis=1)[:, None, :], size, axis=1).astype(np.float32)


def clouds(rng: np.random.Generator, size: int, cells: int) -> Picture:
    """Smooth noise (size, size, 1) in [0, 1] with about `cells` bumps a side."""
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    return _channel(coarse.resize((size, size), Image.Resampling.BICUBIC))


def blur(opacity: Picture, radius: float) -> Picture:
    """A (size, size, 1) picture smoothed by a Gaussian of `radius` pixels."""
    image = Image.fromarray((opacity[..., 0] * 255).astype(np.uint8))
    return _channel(image.filter(ImageFilter.GaussianBlur(radius)))


def relief(opacity: Picture, radius: float = 3.0) -> Picture:
    """Light from above left on the object as if it were rounded: (size, size, 1), about -1 to 1."""
    height = blur(opacity, radius)[..., 0]
    slope = np.zeros_like(height)
    slope[1:-1, 1:-1] = height[2:, 1:-1] - height[:-2, 1:-1] + height[1:-1, 2:] - height[1:-1, :-2]
    return np.clip(3 * slope, -1, 1)[..., None]


def stencil(size: int, strokes: list[Stroke]) -> Picture:
    """Opacity (size, size, 1) of strokes (kind, points, width) in frame units.

    The points of "disc" and "ring" bound a box, those of "form" are corners, those of "line" are joined.
    """
    scale = size * SUPERSAMPLING / FRAME
    image = Image.new("L", (size * SUPERSAMPLING,) * 2, 0)
    draw = ImageDraw.Draw(image)
    for kind, points, width in strokes:
        path = [(x * scale, y * scale) for x, y in points]
        if kind == "disc":
            draw.ellipse(path, fill=255)
        elif kind == "ring":
            draw.ellipse(path, outline=255, width=max(1, round(width * scale)))
        elif kind == "form":
            draw.polygon(path, fill=255)
        else:
            draw.line(path, fill=255, width=max(1, round(width * scale)))
    return _channel(image.reduce(SUPERSAMPLING))


def discs(rng: np.random.Generator, size: int, count: int, low: float, high: float) -> Picture:
    """Opacity of `count` discs at random places, radii from `low` to `high` frame units."""
    centres, radii = rng.uniform(0, FRAME, (count, 2)), rng.uniform(low, high, count)
    places = zip(*centres.T.tolist(), radii.tolist(), strict=True)
    return stencil(size, [("disc", [(x - r, y - r), (x + r, y + r)], 0) for x, y, r in places])


def grid(size: int) -> tuple[Picture, Picture]:
    """Frame coordinates x and y of the pixel centres, each (size, size, 1)."""
    ticks = (np.arange(size, dtype=np.float32) + 0.5) * (FRAME / size)
    return np.broadcast_to(ticks[None, :, None], (size, size, 1)), np.broadcast_to(
        ticks[:, None, None], (size, size, 1)
    )


def _bytes(colour: Colour) -> tuple[int, int, int, int]:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in colour)
    return red, green, blue, 255


def _channel(image: Image.Image) -> Picture:
    return np.asarray(image, dtype=np.float32)[..., None] / 255
