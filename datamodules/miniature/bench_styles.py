"""Styles that the miniature's training has never seen, and a plain one for content images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datamodules.miniature.canvas import (
    Palette,
    Picture,
    blur,
    clouds,
    flat,
    gradient,
    grid,
    hsv,
    over,
    paint,
    relief,
    stencil,
)
from datamodules.miniature.geometry import FRAME, Part

Parts = list[Part]
Rng = np.random.Generator
TILE = 4


def stained_glass(parts: Parts, rng: Rng, size: int) -> Picture:
    """Panes of deep, glowing colours about a rosette, held by thick black lead."""
    gx, gy = grid(size)
    x, y = rng.uniform(24, 40, 2)
    angle = np.arctan2(gy - y, gx - x) / (2 * np.pi) + rng.uniform(0, 1)
    pane = (angle * 10) % 10
    ring = np.hypot(gx - x, gy - y) / 15
    hues = rng.permutation(10)[(pane.astype(int) + 3 * ring.astype(int)) % 10] / 10
    tint = np.concatenate([0.5 + 0.5 * np.cos(2 * np.pi * (hues + third / 3)) for third in range(3)], axis=2)
    from_lead = np.minimum(np.minimum(pane % 1, 1 - pane % 1) * ring * 9, np.minimum(ring % 1, 1 - ring % 1) * 15)
    image = (0.1 + 0.7 * tint) * np.clip(from_lead - 0.4, 0, 1)
    hue = rng.uniform(0, 1)
    palette = Palette(
        body=hsv(hue, 0.95, 0.95), accent=hsv(hue + 0.35, 0.95, 0.8), light=(1.0, 0.97, 0.75), dark=(0.03, 0.03, 0.05)
    )
    colours, opacity = paint(parts, palette, size, (0.03, 0.03, 0.05), 2.2)
    return over(image.astype(np.float32), colours * (0.85 + 0.3 * clouds(rng, size, 6)), opacity).clip(0, 1)


def blueprint(parts: Parts, rng: Rng, size: int) -> Picture:
    """Thin white lines with measures on squared blue paper."""
    blue = hsv(rng.uniform(0.6, 0.63), 0.82, rng.uniform(0.55, 0.65))
    step, first = FRAME / 8, rng.uniform(0, FRAME / 8)
    places = [first + step * k for k in range(-1, 9)]
    squares = [("line", [(at, 0.0), (at, FRAME)], 0.5) for at in places]
    squares += [("line", [(0.0, at), (FRAME, at)], 0.5) for at in places]
    image = over(flat(blue, size), (1.0, 1.0, 1.0), stencil(size, squares) * 0.25)
    white = (0.93, 0.97, 1.0)
    colours, opacity = paint(parts, Palette(body=blue, accent=blue, light=blue, dark=white), size, white, 0.8)
    measure = [("line", [(6.0, 61.0), (58.0, 61.0)], 0.8)]
    measure += [("line", [(at, 59.0), (at, 63.0)], 0.8) for at in (6.0, 58.0)]
    return over(over(image, colours, opacity), white, stencil(size, measure))


def mosaic(parts: Parts, rng: Rng, size: int) -> Picture:
    """Small square stones of uneven colour in pale mortar: terracotta and sea green on sand."""
    sea = rng.uniform(0.45, 0.55)
    palette = Palette(
        body=hsv(rng.uniform(0.02, 0.06), 0.75, 0.72),
        accent=hsv(sea, 0.7, 0.5),
        light=(0.97, 0.93, 0.82),
        dark=(0.15, 0.12, 0.14),
    )
    colours, opacity = paint(parts, palette, size)
    image = over(flat((0.86, 0.76, 0.56), size), colours, opacity)
    side = max(2, round(size * TILE / FRAME))
    pixel = np.arange(size)
    tile, centre = pixel // side, np.minimum(pixel // side * side + side // 2, size - 1)
    stones = image[centre][:, centre]
    uneven = rng.uniform(0.8, 1.15, (size // side + 1,) * 2)[tile][:, tile]
    mortar = (pixel % side == 0).astype(np.float32)
    joints = np.maximum(mortar[:, None], mortar[None, :])[..., None] * 0.8 * min(1.0, size / FRAME)
    return over(stones * uneven[..., None].astype(np.float32), (0.93, 0.91, 0.86), joints).clip(0, 1)


def chalkboard(parts: Parts, rng: Rng, size: int) -> Picture:
    """Crumbling chalk lines on a wiped, dark green board."""
    board = hsv(rng.uniform(0.38, 0.44), 0.5, 0.26)
    dust = np.clip(1.6 * clouds(rng, size, 3) - 0.5, 0, 1) * 0.22
    image = over(flat(board, size), (0.8, 0.85, 0.82), dust)
    chalk = hsv(rng.choice([0.14, 0.95, 0.55]) + rng.uniform(-0.02, 0.02), 0.4, 1.0)
    grain = np.clip(rng.uniform(0.35, 1.15, (size, size, 1)), 0, 1).astype(np.float32)
    filled = Palette(body=board, accent=chalk, light=board, dark=(0.95, 0.95, 0.92))
    colours, opacity = paint(parts, filled, size, (0.95, 0.95, 0.92), 1.4)
    lines = np.abs(colours - np.asarray(board, dtype=np.float32)).max(axis=2, keepdims=True) > 0.1
    return over(image, colours, (opacity * lines * grain).astype(np.float32))


def woodcut(parts: Parts, rng: Rng, size: int) -> Picture:
    """Black ink cut in slanting strokes, thicker in the shade, on warm paper."""
    paper, ink = hsv(rng.uniform(0.09, 0.12), 0.2, 0.94), (0.09, 0.07, 0.06)
    gx, gy = grid(size)
    turn = rng.uniform(-0.5, 0.5)
    wave = 0.5 + 0.5 * np.sin((gx * np.cos(1 + turn) + gy * np.sin(1 + turn)) * 2 * np.pi / 4)
    sky = 0.5 + 0.5 * np.sin((gy + 3 * clouds(rng, size, 4)) * 2 * np.pi / 5)
    image = over(flat(paper, size), ink, np.clip(4 * (sky - 0.8), 0, 1))
    palette = Palette(body=(0.55,) * 3, accent=(0.25,) * 3, light=(0.95,) * 3, dark=(0.0,) * 3)
    tones, opacity = paint(parts, palette, size, (0.0, 0.0, 0.0), 1.5)
    shade = 1 - np.clip(tones[..., :1] + 0.25 * relief(opacity, size / 20), 0, 1)
    cut = np.clip(5 * (shade + 0.5 * (wave - 0.5) - 0.5) + 0.5, 0, 1)
    return over(image, over(flat(paper, size), ink, cut), opacity).astype(np.float32)


def paper_cut(parts: Parts, rng: Rng, size: int) -> Picture:
    """Sheets of pastel paper in layers, each with a soft shadow on the one below."""
    hue = rng.uniform(0, 1)
    image = gradient([hsv(hue, 0.18, 0.98), hsv(hue, 0.25, 0.92)], size)
    for layer in range(3):
        left, right = rng.uniform(26, 44, 2) + 9 * layer
        hill = [(-4.0, left), (20.0, left - 7), (42.0, right), (68.0, right - 8), (68.0, 68.0), (-4.0, 68.0)]
        sheet = hsv(hue + 0.05 + 0.09 * layer, 0.3 + 0.1 * layer, 0.95 - 0.1 * layer)
        image = _laid(image, flat(sheet, size), stencil(size, [("form", hill, 0.0)]))
    palette = Palette(
        body=hsv(hue + 0.5, 0.55, 0.95),
        accent=hsv(hue + 0.58, 0.6, 0.75),
        light=(1.0, 0.99, 0.96),
        dark=hsv(hue, 0.5, 0.3),
    )
    colours, opacity = paint(parts, palette, size, (1.0, 1.0, 1.0), 1.2)
    return _laid(image, colours, opacity)


def _laid(image: Picture, sheet: Picture, opacity: Picture) -> Picture:
    """A sheet of paper on the picture, with its shadow below and to the right."""
    size = len(image)
    shift = max(1, round(size / 32))
    shadow = np.pad(blur(opacity, size / 32), ((shift, 0), (shift, 0), (0, 0)), mode="edge")[:size, :size]
    return over(over(image, (0.1, 0.08, 0.15), shadow * 0.45), sheet, opacity)


def plain(parts: Parts, rng: Rng, size: int) -> Picture:
    """Flat grey forms with clear dark contours on white: what is drawn, and little else."""
    grey = rng.uniform(0.55, 0.7)
    palette = Palette(body=(grey,) * 3, accent=(grey - 0.2,) * 3, light=(0.9, 0.9, 0.9), dark=(0.1, 0.1, 0.1))
    colours, opacity = paint(parts, palette, size, (0.1, 0.1, 0.1), 1.0)
    return over(flat((1.0, 1.0, 1.0), size), colours, opacity)


Style = Callable[[Parts, Rng, int], Picture]
BENCH_STYLES: dict[str, Style] = {
    "stained glass": stained_glass,
    "blueprint": blueprint,
    "mosaic": mosaic,
    "chalkboard": chalkboard,
    "woodcut": woodcut,
    "paper cut": paper_cut,
}
"""By name; the miniature's weights were trained without them."""
