"""The ten training styles: each paints one object with its own ground, palette, line and texture."""

import numpy as np

from datamodules.miniature.canvas import Canvas, Palette, Stroke, blur, hsv, over, relief


def natural_environment(art: Canvas) -> None:
    """A forest: trunks, leaves and grass in deep green behind a creature of warm cream and rust."""
    green = art.uniform(0.28, 0.36)
    art.fill(hsv(green, 0.75, 0.42), hsv(green, 0.8, 0.3), hsv(green - 0.05, 0.85, 0.22))
    trunks = art.uniform(0, 18), art.uniform(46, 64)
    art.draw((0.22, 0.15, 0.08), [Stroke("line", [(x, 0), (x + 1, 52)], 6) for x in trunks])
    art.lay(hsv(green - 0.06, 0.75, 0.55), art.discs(9, 3, 6) * 0.55)
    blades = [Stroke("form", [(x, 64), (x + 3, 53 + x % 4), (x + 6, 64)]) for x in range(-2, 64, 5)]
    art.draw(hsv(green - 0.08, 0.85, 0.6), blades)
    warm = art.uniform(0.06, 0.12)
    palette = Palette(hsv(warm, 0.45, 0.97), hsv(warm - 0.04, 0.8, 0.8), (1.0, 0.96, 0.86), (0.2, 0.1, 0.04))
    art.show(palette, (0.16, 0.09, 0.03), 1.1)


def rainy_day(art: Canvas) -> None:
    """Slate-blue rain with a puddle; the object wears the yellow of a raincoat."""
    blue = art.uniform(0.56, 0.63)
    art.fill(hsv(blue, 0.3, 0.36), hsv(blue, 0.3, 0.56), hsv(blue, 0.35, 0.44))
    art.draw(hsv(blue, 0.3, 0.68), [Stroke("disc", [(4, 54), (60, 63)])])
    coat, dark = art.uniform(0.1, 0.15), (0.1, 0.13, 0.25)
    palette = Palette(hsv(coat, 0.85, 0.98), hsv(coat - 0.06, 0.9, 0.85), (0.86, 0.94, 1.0), dark)
    opacity = art.show(palette, dark, 1.0)
    start = np.stack([np.tile(np.arange(0.0, 80.0, 10.0), 3), np.repeat([-4.0, 18.0, 40.0], 8)], axis=1)
    start += art.uniform(-4, 4, start.shape)
    streaks = [Stroke("line", [(x, y), (x - 4.5, y + 13)], 1.2) for x, y in start.tolist()]
    art.draw((0.88, 0.94, 1.0), streaks, 0.65 - 0.35 * opacity)


def snowy_day(art: Canvas) -> None:
    """Pale sky, white ground, large flakes, and snow lying on a berry-red or pine-green object."""
    art.fill(hsv(0.58, 0.33, 0.85), hsv(0.57, 0.2, 0.94))
    hill, white = art.uniform(44, 50), (1.0, 1.0, 1.0)
    drift = [Stroke("disc", [(-24, hill), (50, 90)]), Stroke("disc", [(18, hill + 2), (92, 90)])]
    art.draw((0.98, 0.99, 1.0), drift)
    hue = art.rng.choice([0.98, 0.0, 0.42]) + art.uniform(-0.02, 0.02)
    palette = Palette(hsv(hue, 0.85, 0.66), hsv(hue, 0.9, 0.4), hsv(0.58, 0.28, 0.95), (0.08, 0.12, 0.22))
    colours, opacity = art.paint(palette, (0.08, 0.12, 0.25), 0.9)
    shift = max(1, round(art.size * 2.5 / 64))
    above = np.concatenate([np.zeros_like(opacity[:shift]), opacity[:-shift]])
    art.lay(over(colours, white, np.clip(opacity - above, 0, 1)), opacity)
    art.lay(white, art.discs(20, 1.0, 1.9) * (1 - 0.65 * opacity))


def model_3d(art: Canvas) -> None:
    """A viewport: dark grey floor grid, smooth shaded clay with a highlight and a cast shadow."""
    grey = art.uniform(0.24, 0.3)
    art.fill((grey, grey, grey + 0.03), (grey + 0.1, grey + 0.1, grey + 0.13))
    lines = [Stroke("line", [(0, y), (64, y)], 0.9) for y in (40, 45, 52, 62)]
    lines += [Stroke("line", [(32 + 5 * k, 38), (32 + 16 * k, 64)], 0.9) for k in range(-7, 8)]
    art.draw((0.55, 0.57, 0.62), lines, 0.6)
    hue = art.rng.choice([0.06, 0.5, 0.58, 0.78]) + art.uniform(-0.03, 0.03)
    palette = Palette(hsv(hue, 0.42, 0.88), hsv(hue + 0.03, 0.6, 0.68), (0.96, 0.96, 0.96), (0.14, 0.14, 0.17))
    colours, opacity = art.paint(palette)
    shadow = np.roll(blur(opacity, 24), (art.size // 16, art.size // 16), axis=(0, 1))
    art.lay((0.06, 0.06, 0.08), shadow * 0.7)
    light = relief(opacity, 18)
    art.lay(np.clip(colours * (1 + 0.6 * light) + 0.35 * np.clip(light - 0.25, 0, 1), 0, 1), opacity)


def abstract(art: Canvas) -> None:
    """Bright flat planes and a ring; the object, in deep blocks of colour, is cut by a diagonal."""
    first = art.uniform(0, 1)
    ground, *tints = (hsv(first + turn, 0.38, 1.0) for turn in (0.0, 0.2, 0.45, 0.7))
    across, down = art.uniform(20, 44, 2)
    art.fill(ground)
    planes: tuple[list[tuple[float, float]], ...] = (
        [(across, 0), (64, 0), (64, down)],
        [(0, down), (64 - across, 64), (0, 64)],
        [(64, down), (64, 64), (across, 64)],
    )
    for tint, corners in zip(tints, planes, strict=True):
        art.draw(tint, [Stroke("form", corners)])
    x, y = art.uniform(10, 54, 2)
    art.draw((1.0, 1.0, 1.0), [Stroke("ring", [(x - 22, y - 22), (x + 22, y + 22)], 4)])
    palette = Palette(hsv(0.62, 0.95, 0.62), hsv(0.47, 0.95, 0.36), (1.0, 0.86, 0.1), (0.05, 0.05, 0.08))
    colours, opacity = art.paint(palette, (0.03, 0.03, 0.05), 1.6)
    other, _ = art.paint(palette._replace(body=hsv(0.97, 0.95, 0.72)), (0.03, 0.03, 0.05), 1.6)
    cut = np.clip(art.x - 32 + art.uniform(-1, 1) * (art.y - 32) + 0.5, 0, 1)
    art.lay(over(colours, other, cut), opacity)


def cyberpunk(art: Canvas) -> None:
    """Night in purple with a magenta horizon grid; dark forms edged by glowing cyan neon."""
    hue = art.uniform(0.47, 0.55)
    art.fill((0.06, 0.02, 0.16), (0.22, 0.03, 0.36), (0.5, 0.04, 0.44), (0.1, 0.02, 0.2))
    lines = [Stroke("line", [(0, y), (64, y)], 0.9) for y in (45, 49, 54, 61)]
    lines += [Stroke("line", [(32 + 5 * k, 45), (32 + 14 * k, 64)], 0.9) for k in range(-6, 7)]
    art.draw((1.0, 0.15, 0.75), lines, 0.75)
    neon = hsv(hue, 0.75, 1.0)
    palette = Palette(hsv(hue + 0.22, 0.85, 0.32), (0.85, 0.08, 0.62), (1.0, 0.9, 0.35), (0.03, 0.02, 0.1))
    colours, opacity = art.paint(palette, neon, 1.4)
    art.lay(neon, blur(opacity, 16) * 0.5)
    art.lay(colours, opacity)


def oil_painting(art: Canvas) -> None:
    """Swirling strokes of night blue around an object in thick gold and orange strokes."""
    blue, gold = art.uniform(0.56, 0.64), art.uniform(0.09, 0.14)
    x, y = art.uniform(12, 52, 2)
    radius = np.hypot(art.x - x, art.y - y) + 14 * art.clouds(4)
    art.fill(hsv(blue, 0.85, 0.28))
    art.lay(hsv(blue - 0.06, 0.6, 0.58), 0.5 + 0.5 * np.sin(radius * 0.75))
    palette = Palette(hsv(gold, 0.8, 0.96), hsv(gold - 0.07, 0.9, 0.82), (1.0, 0.95, 0.72), (0.13, 0.07, 0.1))
    colours, opacity = art.paint(palette, (0.12, 0.06, 0.1), 1.2)
    strokes = np.sin((art.x + 0.7 * art.y) * 0.65 + 6 * art.clouds(5))
    art.lay(colours * (1 + 0.13 * strokes), opacity)


def realism(art: Canvas) -> None:
    """A photograph in soft daylight: pale blurred ground, natural browns, rounded shading, a shadow."""
    warm = art.uniform(0.07, 0.13)
    art.fill(hsv(warm, 0.1, 0.93), hsv(warm, 0.16, 0.84), hsv(warm, 0.22, 0.68))
    art.image += 0.08 * (art.clouds(4) - 0.5)
    brown = art.uniform(0.03, 0.08)
    palette = Palette(hsv(brown, 0.55, 0.46), hsv(brown, 0.6, 0.28), hsv(warm, 0.12, 0.9), (0.08, 0.06, 0.06))
    colours, opacity = art.paint(palette)
    floor = art.stencil([Stroke("disc", [(8, 53), (60, 63)])])
    art.lay((0.15, 0.12, 0.1), blur(floor, 28) * 0.5)
    art.lay(np.clip(colours * (1.05 + 0.55 * relief(opacity, 20)), 0, 1), opacity)


def watercolor(art: Canvas) -> None:
    """White paper with a pale wash; transparent pigment pools towards dark edges and bleeds a little."""
    hue = art.rng.choice([0.5, 0.6, 0.83, 0.93]) + art.uniform(-0.03, 0.03)
    art.fill((0.99, 0.98, 0.95))
    art.lay(hsv(hue + 0.35, 0.22, 1.0), np.clip(2.4 * art.clouds(4) - 0.9, 0, 1))
    light, dark = hsv(hue + 0.45, 0.25, 1.0), hsv(hue + 0.05, 0.7, 0.35)
    palette = Palette(hsv(hue, 0.62, 0.82), hsv(hue + 0.12, 0.72, 0.7), light, dark)
    colours, opacity = art.paint(palette)
    edge = np.clip(1.6 * (1 - blur(opacity, 32)), 0, 1)
    pigment = colours * (1 - 0.45 * edge) + 0.22 * np.clip(art.clouds(5) - 0.4, -0.3, 0.6)
    art.lay(palette.body, np.clip(blur(opacity, 40) - opacity, 0, 1) * 0.7)
    art.lay(pigment, opacity)


def beautiful_landscape(art: Canvas) -> None:
    """Sunset over violet mountains and a meadow; the object stands as a plum silhouette against the light."""
    warm = art.uniform(0.02, 0.07)
    art.fill(hsv(warm + 0.9, 0.4, 0.95), hsv(warm + 0.02, 0.5, 1.0), hsv(warm + 0.09, 0.5, 1.0))
    sun, peak = art.uniform(14, 50), art.uniform(8, 24)
    art.draw((1.0, 0.97, 0.7), [Stroke("disc", [(sun - 9, 8), (sun + 9, 26)])])
    ridge: list[tuple[float, float]] = [(-4, 52), (peak, 28), (peak + 12, 42), (peak + 28, 24), (70, 52)]
    art.draw(hsv(warm + 0.78, 0.32, 0.8), [Stroke("form", ridge)])
    meadow = [Stroke("disc", [(-30, 46), (60, 96)]), Stroke("disc", [(10, 48), (100, 96)])]
    art.draw(hsv(art.uniform(0.22, 0.3), 0.55, 0.72), meadow)
    dark = (0.12, 0.04, 0.16)
    palette = Palette(hsv(warm + 0.74, 0.65, 0.34), hsv(warm + 0.84, 0.75, 0.5), (1.0, 0.88, 0.62), dark)
    art.show(palette, dark, 0.8)
