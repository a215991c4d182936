"""The ten test styles: each paints one object with its own ground, palette, line and texture."""

from __future__ import annotations

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
BRICK = 4.0


def lego_toy(parts: Parts, rng: Rng, size: int) -> Picture:
    """Red, blue and yellow bricks with studs on a pale base plate with studs."""
    hue = rng.choice([0.0, 0.6, 0.36]) + rng.uniform(-0.01, 0.01)
    plate = hsv(rng.choice([0.14, 0.3, 0.55]), 0.22, 0.96)
    palette = Palette(
        body=hsv(hue, 0.92, 0.82),
        accent=(0.98, 0.78, 0.05) if hue < 0.5 else (0.9, 0.1, 0.08),
        light=(1.0, 1.0, 1.0),
        dark=(0.08, 0.08, 0.1),
    )
    colours, opacity = paint(parts, palette, size)
    image = over(flat(plate, size), colours, opacity)
    gx, gy = grid(size)
    from_stud = np.hypot(gx % BRICK - BRICK / 2, gy % BRICK - BRICK / 2)
    stud = np.clip(1.9 - from_stud, 0, 1) * 0.24
    seam = np.clip(np.maximum(gx % BRICK, gy % BRICK) - BRICK + 1, 0, 1) * 0.5
    image = image * (1 - seam * (0.25 + 0.75 * opacity)) + stud * (0.25 + 0.75 * opacity)
    return np.clip(image, 0, 1).astype(np.float32)


def statue(parts: Parts, rng: Rng, size: int) -> Picture:
    """Pale marble with chiselled light before a dark museum wall, on a plinth."""
    cool = rng.uniform(0.55, 0.68)
    image = gradient([hsv(cool, 0.3, 0.16), hsv(cool, 0.25, 0.34)], size)
    gx, gy = grid(size)
    image = image * (1.15 - np.hypot(gx - 32, gy - 28) / 70).astype(np.float32)
    plinth = [("form", [(6.0, 58.0), (58.0, 58.0), (62.0, 64.0), (2.0, 64.0)], 0.0)]
    image = over(image, (0.56, 0.55, 0.54), stencil(size, plinth))
    tone = rng.uniform(0.04, 0.12)
    palette = Palette(
        body=hsv(tone, 0.06, 0.86),
        accent=hsv(tone, 0.08, 0.7),
        light=hsv(tone, 0.03, 0.97),
        dark=hsv(tone, 0.12, 0.42),
    )
    colours, opacity = paint(parts, palette, size, hsv(tone, 0.15, 0.4), 0.6)
    vein = np.clip(1 - 9 * np.abs(clouds(rng, size, 5) - 0.5), 0, 1)
    marble = colours * (1 + 0.45 * relief(opacity, size / 22)) - 0.14 * vein
    return np.clip(over(image, marble, opacity), 0, 1)


def steampunk(parts: Parts, rng: Rng, size: int) -> Picture:
    """Polished brass and copper over dark brown clockwork."""
    brass = rng.uniform(0.09, 0.125)
    image = gradient([hsv(brass - 0.04, 0.7, 0.24), hsv(brass - 0.05, 0.75, 0.15)], size)
    left, right = rng.uniform(0, 20, 2).tolist(), rng.uniform(14, 50)
    for x, y, radius in ((left[0], 10.0, 11), (left[1], 54.0, 13), (56.0, right, 15)):
        image = over(image, hsv(brass - 0.02, 0.65, 0.46), _gear(x, y, radius, rng.uniform(0, 1), size))
    palette = Palette(
        body=hsv(brass, 0.62, 0.94),
        accent=hsv(brass - 0.06, 0.75, 0.76),
        light=hsv(brass + 0.03, 0.3, 1.0),
        dark=(0.13, 0.07, 0.03),
    )
    colours, opacity = paint(parts, palette, size, (0.09, 0.05, 0.02), 1.3)
    shine = 0.42 * relief(opacity, size / 24) + 0.1 * np.sin(grid(size)[1] * 0.45)
    return np.clip(over(image, colours * (1 + shine), opacity), 0, 1)


def _gear(x: float, y: float, radius: float, turn: float, size: int) -> Picture:
    teeth = [turn + 2 * np.pi * k / 8 for k in range(8)]
    spokes = [
        (
            "line",
            [
                (x + 0.75 * radius * np.cos(a), y + 0.75 * radius * np.sin(a)),
                (x + 1.15 * radius * np.cos(a), y + 1.15 * radius * np.sin(a)),
            ],
            3.6,
        )
        for a in teeth
    ]
    wheel = ("ring", [(x - radius, y - radius), (x + radius, y + radius)], 3.6)
    hub = ("ring", [(x - radius / 3, y - radius / 3), (x + radius / 3, y + radius / 3)], 2.2)
    return stencil(size, [*spokes, wheel, hub])


def stick_figure(parts: Parts, rng: Rng, size: int) -> Picture:
    """Ballpoint lines, slightly shaky, on ruled notebook paper with a red margin."""
    image = flat((1.0, 0.99, 0.93), size)
    first = rng.uniform(4, 10)
    rules = [("line", [(0.0, y), (64.0, y)], 0.9) for y in np.arange(first, 64.0, 9.0)]
    image = over(image, (0.55, 0.78, 0.95), stencil(size, rules) * 0.8)
    margin = rng.uniform(5, 9)
    image = over(image, (0.95, 0.45, 0.5), stencil(size, [("line", [(margin, 0.0), (margin, 64.0)], 1.0)]))
    shaky = [Part(part.role, part.points + rng.normal(0, 0.35, part.points.shape)) for part in parts]
    ink = hsv(rng.uniform(0.6, 0.68), 0.85, 0.62)
    paper = (1.0, 0.99, 0.93)
    colours, opacity = paint(shaky, Palette(body=paper, accent=paper, light=paper, dark=ink), size, ink, 1.2)
    return over(image, colours, opacity)


def tattoo(parts: Parts, rng: Rng, size: int) -> Picture:
    """Blue-black ink on skin: heavy lines, shading that darkens downwards, one red."""
    skin = hsv(rng.uniform(0.05, 0.075), rng.uniform(0.32, 0.45), rng.uniform(0.85, 0.96))
    image = flat(skin, size) * (0.94 + 0.12 * clouds(rng, size, 4))
    ink = hsv(rng.uniform(0.52, 0.6), 0.6, 0.2)
    palette = Palette(body=skin, accent=hsv(0.99, 0.75, 0.68), light=hsv(0.07, 0.12, 1.0), dark=ink)
    colours, opacity = paint(parts, palette, size, ink, 1.7)
    depth = np.clip((grid(size)[1] - 22) / 42, 0, 1) * 0.62
    return np.clip(over(image, over(colours, ink, depth), opacity), 0, 1).astype(np.float32)


def line_art(parts: Parts, rng: Rng, size: int) -> Picture:
    """Bold black contours on plain white, nothing filled but the darkest details."""
    white, black = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    width = rng.uniform(1.3, 1.7)
    palette = Palette(body=white, accent=white, light=white, dark=black)
    colours, opacity = paint(parts, palette, size, black, width)
    return over(flat(white, size), colours, opacity)


def wool_toy(parts: Parts, rng: Rng, size: int) -> Picture:
    """A knitted toy with fluffy edges and rows of V stitches on a soft pastel ground."""
    hue = rng.uniform(0, 1)
    image = flat(hsv(hue + 0.5, 0.2, 0.98), size)
    palette = Palette(
        body=hsv(hue, 0.65, 0.72),
        accent=hsv(hue + 0.1, 0.7, 0.52),
        light=(1.0, 0.96, 0.9),
        dark=hsv(hue, 0.5, 0.25),
    )
    colours, opacity = paint(parts, palette, size)
    fluff = np.clip(blur(opacity, size / 36) * 1.7, 0, 1)
    gx, gy = grid(size)
    zigzag = np.abs((gx / 5) % 1 - 0.5) * 5
    stitch = np.sin((gy + zigzag) * (2 * np.pi / 4.5))
    yarn = over(flat(palette.body, size), colours, opacity) * (0.97 + 0.15 * stitch)
    image = over(image, hsv(hue + 0.5, 0.3, 0.75), np.roll(fluff, size // 20, axis=0) * 0.6)
    return np.clip(over(image, yarn, fluff), 0, 1).astype(np.float32)


def colored_smoke(parts: Parts, rng: Rng, size: int) -> Picture:
    """Saturated smoke of many hues curls out of black around a white object."""
    colours, opacity = paint(
        parts,
        Palette(body=(0.97, 0.97, 0.97), accent=(0.74, 0.74, 0.8), light=(1.0, 1.0, 1.0), dark=(0.08, 0.06, 0.12)),
        size,
        (0.04, 0.02, 0.08),
        1.4,
    )
    first = rng.uniform(0, 1)
    gx, gy = grid(size)
    angle = np.arctan2(gy - 32, gx - 32) + 2 * clouds(rng, size, 4)
    hues = [0.5 + 0.5 * np.cos(angle + 2 * np.pi * (first + third / 3)) for third in range(3)]
    tint = np.concatenate(hues, axis=2).astype(np.float32)
    image = tint * _smoke(rng, size, opacity) * 0.95
    return over(image + 0.03, colours, opacity)


def white_smoke(parts: Parts, rng: Rng, size: int) -> Picture:
    """White smoke billows out of charcoal around a dark object of one deep hue."""
    hue = rng.uniform(0, 1)
    palette = Palette(
        body=hsv(hue, 0.85, 0.42),
        accent=hsv(hue + 0.06, 0.9, 0.26),
        light=hsv(hue, 0.25, 0.95),
        dark=(0.04, 0.04, 0.05),
    )
    colours, opacity = paint(parts, palette, size, (0.04, 0.04, 0.06), 0.9)
    image = over(flat((0.17, 0.18, 0.21), size), (0.97, 0.97, 0.98), _smoke(rng, size, opacity))
    return over(image, colours, opacity)


def _smoke(rng: Rng, size: int, opacity: Picture) -> Picture:
    """Thickness (size, size, 1) of smoke: dense about the object, curling away with distance."""
    near = np.clip(blur(opacity, size / 10) * 2.6, 0, 1)
    curls = 0.5 + 0.5 * np.sin(5.5 * clouds(rng, size, 4) + rng.uniform(0, 6))
    return np.clip(near * (0.75 + 0.25 * curls) + 0.45 * curls * (1 - near), 0, 1).astype(np.float32)


def pop_art(parts: Parts, rng: Rng, size: int) -> Picture:
    """Comic print: halftone dots, flat primaries, thick black contours."""
    pair = rng.integers(3)
    ground, dot = [
        ((1.0, 0.45, 0.7), (0.9, 0.1, 0.45)),
        ((1.0, 0.87, 0.15), (0.98, 0.5, 0.1)),
        ((0.4, 0.85, 0.95), (0.1, 0.5, 0.85)),
    ][pair]
    body, accent = [
        ((1.0, 0.9, 0.1), (0.1, 0.65, 0.95)),
        ((0.1, 0.6, 0.95), (0.95, 0.15, 0.3)),
        ((0.95, 0.2, 0.4), (1.0, 0.88, 0.1)),
    ][pair]
    gx, gy = grid(size)
    step = FRAME / 8
    offset = np.where((gy // step) % 2 > 0, step / 2, 0.0)
    away = np.hypot((gx + offset) % step - step / 2, gy % step - step / 2)
    image = over(flat(ground, size), dot, np.clip(2.9 - away, 0, 1).astype(np.float32))
    palette = Palette(body=body, accent=accent, light=(1.0, 1.0, 1.0), dark=(0.02, 0.02, 0.02))
    colours, opacity = paint(parts, palette, size, (0.02, 0.02, 0.02), 1.8)
    return over(image, colours, opacity)
