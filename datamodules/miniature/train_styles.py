"""The ten training styles: each paints one object with its own ground, palette, line and texture."""

from __future__ import annotations

import numpy as np

from datamodules.miniature.canvas import (
    Palette,
    Picture,
    blur,
    clouds,
    discs,
    flat,
    gradient,
    grid,
    hsv,
    over,
    paint,
    relief,
    stencil,
)
from datamodules.miniature.geometry import Part

Parts = list[Part]
Rng = np.random.Generator


def natural_environment(parts: Parts, rng: Rng, size: int) -> Picture:
    """A forest: trunks, leaves and grass in deep green behind a creature of warm cream and rust."""
    green = rng.uniform(0.28, 0.36)
    image = gradient([hsv(green, 0.75, 0.42), hsv(green, 0.8, 0.3), hsv(green - 0.05, 0.85, 0.22)], size)
    trunks = [("line", [(x, 0.0), (x + 1, 52.0)], 6.0) for x in (rng.uniform(0, 18), rng.uniform(46, 64))]
    image = over(image, (0.22, 0.15, 0.08), stencil(size, trunks))
    image = over(image, hsv(green - 0.06, 0.75, 0.55), discs(rng, size, 9, 3, 6) * 0.55)
    tufts = np.arange(-2.0, 64.0, 5.0).tolist()
    blades = [("form", [(x, 64.0), (x + 3, 53.0 + x % 4), (x + 6, 64.0)], 0.0) for x in tufts]
    image = over(image, hsv(green - 0.08, 0.85, 0.6), stencil(size, blades))
    warm = rng.uniform(0.06, 0.12)
    palette = Palette(
        body=hsv(warm, 0.45, 0.97),
        accent=hsv(warm - 0.04, 0.8, 0.8),
        light=(1.0, 0.96, 0.86),
        dark=(0.2, 0.1, 0.04),
    )
    colours, opacity = paint(parts, palette, size, (0.16, 0.09, 0.03), 1.1)
    return over(image, colours, opacity)


def rainy_day(parts: Parts, rng: Rng, size: int) -> Picture:
    """Slate-blue rain with a puddle; the object wears the yellow of a raincoat."""
    blue = rng.uniform(0.56, 0.63)
    image = gradient([hsv(blue, 0.3, 0.36), hsv(blue, 0.3, 0.56), hsv(blue, 0.35, 0.44)], size)
    image = over(image, hsv(blue, 0.3, 0.68), stencil(size, [("disc", [(4.0, 54.0), (60.0, 63.0)], 0.0)]))
    coat = rng.uniform(0.1, 0.15)
    palette = Palette(
        body=hsv(coat, 0.85, 0.98),
        accent=hsv(coat - 0.06, 0.9, 0.85),
        light=(0.86, 0.94, 1.0),
        dark=(0.1, 0.13, 0.25),
    )
    colours, opacity = paint(parts, palette, size, (0.1, 0.13, 0.25), 1.0)
    image = over(image, colours, opacity)
    start = np.stack([np.tile(np.arange(0.0, 80.0, 10.0), 3), np.repeat([-4.0, 18.0, 40.0], 8)], axis=1)
    start += rng.uniform(-4, 4, start.shape)
    streaks = [("line", [(x, y), (x - 4.5, y + 13)], 1.2) for x, y in start.tolist()]
    return over(image, (0.88, 0.94, 1.0), stencil(size, streaks) * (0.65 - 0.35 * opacity))


def snowy_day(parts: Parts, rng: Rng, size: int) -> Picture:
    """Pale sky, white ground, large flakes, and snow lying on a berry-red or pine-green object."""
    image = gradient([hsv(0.58, 0.33, 0.85), hsv(0.57, 0.2, 0.94)], size)
    hill = rng.uniform(44, 50)
    drift = [("disc", [(-24.0, hill), (50.0, 90.0)], 0.0), ("disc", [(18.0, hill + 2), (92.0, 90.0)], 0.0)]
    image = over(image, (0.98, 0.99, 1.0), stencil(size, drift))
    hue = rng.choice([0.98, 0.0, 0.42]) + rng.uniform(-0.02, 0.02)
    palette = Palette(
        body=hsv(hue, 0.85, 0.66),
        accent=hsv(hue, 0.9, 0.4),
        light=hsv(0.58, 0.28, 0.95),
        dark=(0.08, 0.12, 0.22),
    )
    colours, opacity = paint(parts, palette, size, (0.08, 0.12, 0.25), 0.9)
    shift = max(1, round(size * 2.5 / 64))
    above = np.concatenate([np.zeros_like(opacity[:shift]), opacity[:-shift]])
    colours = over(colours, (1.0, 1.0, 1.0), np.clip(opacity - above, 0, 1))
    image = over(image, colours, opacity)
    return over(image, (1.0, 1.0, 1.0), discs(rng, size, 20, 1.0, 1.9) * (1 - 0.65 * opacity))


def model_3d(parts: Parts, rng: Rng, size: int) -> Picture:
    """A viewport: dark grey floor grid, smooth shaded clay with a highlight and a cast shadow."""
    grey = rng.uniform(0.24, 0.3)
    image = gradient([(grey, grey, grey + 0.03), (grey + 0.1, grey + 0.1, grey + 0.13)], size)
    lines = [("line", [(0.0, y), (64.0, y)], 0.9) for y in (40.0, 45.0, 52.0, 62.0)]
    lines += [("line", [(32 + 5 * k, 38.0), (32 + 16.0 * k, 64.0)], 0.9) for k in range(-7, 8)]
    image = over(image, (0.55, 0.57, 0.62), stencil(size, lines) * 0.6)
    hue = rng.choice([0.06, 0.5, 0.58, 0.78]) + rng.uniform(-0.03, 0.03)
    palette = Palette(
        body=hsv(hue, 0.42, 0.88),
        accent=hsv(hue + 0.03, 0.6, 0.68),
        light=(0.96, 0.96, 0.96),
        dark=(0.14, 0.14, 0.17),
    )
    colours, opacity = paint(parts, palette, size)
    shadow = np.roll(blur(opacity, size / 24), (size // 16, size // 16), axis=(0, 1))
    light = relief(opacity, size / 18)
    colours = np.clip(colours * (1 + 0.6 * light) + 0.35 * np.clip(light - 0.25, 0, 1), 0, 1)
    return over(over(image, (0.06, 0.06, 0.08), shadow * 0.7), colours, opacity)


def abstract(parts: Parts, rng: Rng, size: int) -> Picture:
    """Bright flat planes and a ring; the object, in deep blocks of colour, is cut by a diagonal."""
    first = rng.uniform(0, 1)
    tints = [hsv(first + turn, 0.38, 1.0) for turn in (0.0, 0.2, 0.45, 0.7)]
    across, down = rng.uniform(20, 44, 2)
    image = flat(tints[0], size)
    planes = (
        [(across, 0.0), (64.0, 0.0), (64.0, down)],
        [(0.0, down), (64.0 - across, 64.0), (0.0, 64.0)],
        [(64.0, down), (64.0, 64.0), (across, 64.0)],
    )
    for tint, corners in zip(tints[1:], planes, strict=True):
        image = over(image, tint, stencil(size, [("form", corners, 0.0)]))
    x, y = rng.uniform(10, 54, 2)
    image = over(image, (1.0, 1.0, 1.0), stencil(size, [("ring", [(x - 22, y - 22), (x + 22, y + 22)], 4.0)]))
    deep = [hsv(0.62, 0.95, 0.62), hsv(0.97, 0.95, 0.72)]
    palette = Palette(body=deep[0], accent=hsv(0.47, 0.95, 0.36), light=(1.0, 0.86, 0.1), dark=(0.05, 0.05, 0.08))
    colours, opacity = paint(parts, palette, size, (0.03, 0.03, 0.05), 1.6)
    other, _ = paint(parts, palette._replace(body=deep[1]), size, (0.03, 0.03, 0.05), 1.6)
    gx, gy = grid(size)
    cut = np.clip(gx - 32 + rng.uniform(-1, 1) * (gy - 32) + 0.5, 0, 1).astype(np.float32)
    return over(image, over(colours, other, cut), opacity)


def cyberpunk(parts: Parts, rng: Rng, size: int) -> Picture:
    """Night in purple with a magenta horizon grid; dark forms edged by glowing cyan neon."""
    hue = rng.uniform(0.47, 0.55)
    image = gradient([(0.06, 0.02, 0.16), (0.22, 0.03, 0.36), (0.5, 0.04, 0.44), (0.1, 0.02, 0.2)], size)
    lines = [("line", [(0.0, y), (64.0, y)], 0.9) for y in (45.0, 49.0, 54.0, 61.0)]
    lines += [("line", [(32 + 5 * k, 45.0), (32 + 14.0 * k, 64.0)], 0.9) for k in range(-6, 7)]
    image = over(image, (1.0, 0.15, 0.75), stencil(size, lines) * 0.75)
    neon = hsv(hue, 0.75, 1.0)
    palette = Palette(
        body=hsv(hue + 0.22, 0.85, 0.32),
        accent=(0.85, 0.08, 0.62),
        light=(1.0, 0.9, 0.35),
        dark=(0.03, 0.02, 0.1),
    )
    colours, opacity = paint(parts, palette, size, neon, 1.4)
    image = over(image, neon, blur(opacity, size / 16) * 0.5)
    return over(image, colours, opacity)


def oil_painting(parts: Parts, rng: Rng, size: int) -> Picture:
    """Swirling strokes of night blue around an object in thick gold and orange strokes."""
    blue, gold = rng.uniform(0.56, 0.64), rng.uniform(0.09, 0.14)
    gx, gy = grid(size)
    x, y = rng.uniform(12, 52, 2)
    radius = np.hypot(gx - x, gy - y) + 14 * clouds(rng, size, 4)
    swirl = 0.5 + 0.5 * np.sin(radius * 0.75)
    image = over(flat(hsv(blue, 0.85, 0.28), size), hsv(blue - 0.06, 0.6, 0.58), swirl)
    palette = Palette(
        body=hsv(gold, 0.8, 0.96),
        accent=hsv(gold - 0.07, 0.9, 0.82),
        light=(1.0, 0.95, 0.72),
        dark=(0.13, 0.07, 0.1),
    )
    colours, opacity = paint(parts, palette, size, (0.12, 0.06, 0.1), 1.2)
    strokes = np.sin((gx + 0.7 * gy) * 0.65 + 6 * clouds(rng, size, 5))
    return np.clip(over(image, colours * (1 + 0.13 * strokes), opacity), 0, 1)


def realism(parts: Parts, rng: Rng, size: int) -> Picture:
    """A photograph in soft daylight: pale blurred ground, natural browns, rounded shading, a shadow."""
    warm = rng.uniform(0.07, 0.13)
    image = gradient([hsv(warm, 0.1, 0.93), hsv(warm, 0.16, 0.84), hsv(warm, 0.22, 0.68)], size)
    image = image + 0.08 * (clouds(rng, size, 4) - 0.5)
    brown = rng.uniform(0.03, 0.08)
    palette = Palette(
        body=hsv(brown, 0.55, 0.46),
        accent=hsv(brown, 0.6, 0.28),
        light=hsv(warm, 0.12, 0.9),
        dark=(0.08, 0.06, 0.06),
    )
    colours, opacity = paint(parts, palette, size)
    floor = stencil(size, [("disc", [(8.0, 53.0), (60.0, 63.0)], 0.0)])
    image = over(image, (0.15, 0.12, 0.1), blur(floor, size / 28) * 0.5)
    colours = np.clip(colours * (1.05 + 0.55 * relief(opacity, size / 20)), 0, 1)
    return np.clip(over(image, colours, opacity), 0, 1)


def watercolor(parts: Parts, rng: Rng, size: int) -> Picture:
    """White paper with a pale wash; transparent pigment pools towards dark edges and bleeds a little."""
    hue = rng.choice([0.5, 0.6, 0.83, 0.93]) + rng.uniform(-0.03, 0.03)
    wash = np.clip(2.4 * clouds(rng, size, 4) - 0.9, 0, 1)
    image = over(flat((0.99, 0.98, 0.95), size), hsv(hue + 0.35, 0.22, 1.0), wash)
    palette = Palette(
        body=hsv(hue, 0.62, 0.82),
        accent=hsv(hue + 0.12, 0.72, 0.7),
        light=hsv(hue + 0.45, 0.25, 1.0),
        dark=hsv(hue + 0.05, 0.7, 0.35),
    )
    colours, opacity = paint(parts, palette, size)
    edge = np.clip(1.6 * (1 - blur(opacity, size / 32)), 0, 1)
    pigment = colours * (1 - 0.45 * edge) + 0.22 * np.clip(clouds(rng, size, 5) - 0.4, -0.3, 0.6)
    bleed = np.clip(blur(opacity, size / 40) - opacity, 0, 1) * 0.7
    return np.clip(over(over(image, palette.body, bleed), pigment, opacity), 0, 1)


def beautiful_landscape(parts: Parts, rng: Rng, size: int) -> Picture:
    """Sunset over violet mountains and a meadow; the object stands as a plum silhouette against the light."""
    warm = rng.uniform(0.02, 0.07)
    image = gradient([hsv(warm + 0.9, 0.4, 0.95), hsv(warm + 0.02, 0.5, 1.0), hsv(warm + 0.09, 0.5, 1.0)], size)
    sun, peak = rng.uniform(14, 50), rng.uniform(8, 24)
    image = over(image, (1.0, 0.97, 0.7), stencil(size, [("disc", [(sun - 9, 8.0), (sun + 9, 26.0)], 0.0)]))
    ridge = [(-4.0, 52.0), (peak, 28.0), (peak + 12, 42.0), (peak + 28, 24.0), (70.0, 52.0)]
    image = over(image, hsv(warm + 0.78, 0.32, 0.8), stencil(size, [("form", ridge, 0.0)]))
    meadow = [("disc", [(-30.0, 46.0), (60.0, 96.0)], 0.0), ("disc", [(10.0, 48.0), (100.0, 96.0)], 0.0)]
    image = over(image, hsv(rng.uniform(0.22, 0.3), 0.55, 0.72), stencil(size, meadow))
    palette = Palette(
        body=hsv(warm + 0.74, 0.65, 0.34),
        accent=hsv(warm + 0.84, 0.75, 0.5),
        light=(1.0, 0.88, 0.62),
        dark=(0.12, 0.04, 0.16),
    )
    colours, opacity = paint(parts, palette, size, (0.12, 0.04, 0.16), 0.8)
    return over(image, colours, opacity)
