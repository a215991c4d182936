"""The ten test styles: each paints one object with its own ground, palette, line and texture."""

import numpy as np

from datamodules.miniature.canvas import FRAME, Canvas, Colour, Palette, Picture, Stroke, blur, hsv, over, relief

BRICK = 4.0
WHITE: Colour = (1.0, 1.0, 1.0)
BLACK: Colour = (0.0, 0.0, 0.0)
PAPER: Colour = (1.0, 0.99, 0.93)
# Ground, dots, body and accent of a comic print.
PRIMARIES: tuple[tuple[Colour, Colour, Colour, Colour], ...] = (
    ((1.0, 0.45, 0.7), (0.9, 0.1, 0.45), (1.0, 0.9, 0.1), (0.1, 0.65, 0.95)),
    ((1.0, 0.87, 0.15), (0.98, 0.5, 0.1), (0.1, 0.6, 0.95), (0.95, 0.15, 0.3)),
    ((0.4, 0.85, 0.95), (0.1, 0.5, 0.85), (0.95, 0.2, 0.4), (1.0, 0.88, 0.1)),
)


def lego_toy(art: Canvas) -> None:
    """Red, blue and yellow bricks with studs on a pale base plate with studs."""
    hue = art.rng.choice([0.0, 0.6, 0.36]) + art.uniform(-0.01, 0.01)
    art.fill(hsv(art.rng.choice([0.14, 0.3, 0.55]), 0.22, 0.96))
    accent = (0.98, 0.78, 0.05) if hue < 0.5 else (0.9, 0.1, 0.08)
    opacity = art.show(Palette(hsv(hue, 0.92, 0.82), accent, WHITE, (0.08, 0.08, 0.1)))
    from_stud = np.hypot(art.x % BRICK - BRICK / 2, art.y % BRICK - BRICK / 2)
    stud = np.clip(1.9 - from_stud, 0, 1) * 0.24
    seam = np.clip(np.maximum(art.x % BRICK, art.y % BRICK) - BRICK + 1, 0, 1) * 0.5
    art.image = art.image * (1 - seam * (0.25 + 0.75 * opacity)) + stud * (0.25 + 0.75 * opacity)


def statue(art: Canvas) -> None:
    """Pale marble with chiselled light before a dark museum wall, on a plinth."""
    cool = art.uniform(0.55, 0.68)
    art.fill(hsv(cool, 0.3, 0.16), hsv(cool, 0.25, 0.34))
    art.image *= 1.15 - np.hypot(art.x - 32, art.y - 28) / 70
    art.draw((0.56, 0.55, 0.54), [Stroke("form", [(6, 58), (58, 58), (62, 64), (2, 64)])])
    tone = art.uniform(0.04, 0.12)
    palette = Palette(hsv(tone, 0.06, 0.86), hsv(tone, 0.08, 0.7), hsv(tone, 0.03, 0.97), hsv(tone, 0.12, 0.42))
    colours, opacity = art.paint(palette, hsv(tone, 0.15, 0.4), 0.6)
    vein = np.clip(1 - 9 * np.abs(art.clouds(5) - 0.5), 0, 1)
    art.lay(colours * (1 + 0.45 * relief(opacity, 22)) - 0.14 * vein, opacity)


def steampunk(art: Canvas) -> None:
    """Polished brass and copper over dark brown clockwork."""
    brass = art.uniform(0.09, 0.125)
    art.fill(hsv(brass - 0.04, 0.7, 0.24), hsv(brass - 0.05, 0.75, 0.15))
    (left, middle), right = art.uniform(0, 20, 2).tolist(), art.uniform(14, 50)
    for x, y, radius in ((left, 10, 11), (middle, 54, 13), (56, right, 15)):
        art.draw(hsv(brass - 0.02, 0.65, 0.46), _gear(x, y, radius, art.uniform(0, 1)))
    light, dark = hsv(brass + 0.03, 0.3, 1.0), (0.13, 0.07, 0.03)
    palette = Palette(hsv(brass, 0.62, 0.94), hsv(brass - 0.06, 0.75, 0.76), light, dark)
    colours, opacity = art.paint(palette, (0.09, 0.05, 0.02), 1.3)
    shine = 0.42 * relief(opacity, 24) + 0.1 * np.sin(art.y * 0.45)
    art.lay(colours * (1 + shine), opacity)


def _gear(x: float, y: float, radius: float, turn: float) -> list[Stroke]:
    strokes = []
    for angle in (turn + 2 * np.pi * k / 8 for k in range(8)):
        ends = [(x + r * radius * np.cos(angle), y + r * radius * np.sin(angle)) for r in (0.75, 1.15)]
        strokes.append(Stroke("line", ends, 3.6))
    for r, width in ((radius, 3.6), (radius / 3, 2.2)):
        strokes.append(Stroke("ring", [(x - r, y - r), (x + r, y + r)], width))
    return strokes


def stick_figure(art: Canvas) -> None:
    """Ballpoint lines, slightly shaky, on ruled notebook paper with a red margin."""
    art.fill(PAPER)
    rules = [Stroke("line", [(0, y), (64, y)], 0.9) for y in np.arange(art.uniform(4, 10), 64.0, 9.0)]
    art.draw((0.55, 0.78, 0.95), rules, 0.8)
    margin = art.uniform(5, 9)
    art.draw((0.95, 0.45, 0.5), [Stroke("line", [(margin, 0), (margin, 64)], 1)])
    art.parts = [part._replace(points=part.points + art.rng.normal(0, 0.35, part.points.shape)) for part in art.parts]
    ink = hsv(art.uniform(0.6, 0.68), 0.85, 0.62)
    art.show(Palette(PAPER, PAPER, PAPER, ink), ink, 1.2)


def tattoo(art: Canvas) -> None:
    """Blue-black ink on skin: heavy lines, shading that darkens downwards, one red."""
    skin = hsv(art.uniform(0.05, 0.075), art.uniform(0.32, 0.45), art.uniform(0.85, 0.96))
    art.fill(skin)
    art.image *= 0.94 + 0.12 * art.clouds(4)
    ink = hsv(art.uniform(0.52, 0.6), 0.6, 0.2)
    colours, opacity = art.paint(Palette(skin, hsv(0.99, 0.75, 0.68), hsv(0.07, 0.12, 1.0), ink), ink, 1.7)
    depth = np.clip((art.y - 22) / 42, 0, 1) * 0.62
    art.lay(over(colours, ink, depth), opacity)


def line_art(art: Canvas) -> None:
    """Bold black contours on plain white, nothing filled but the darkest details."""
    art.fill(WHITE)
    art.show(Palette(WHITE, WHITE, WHITE, BLACK), BLACK, art.uniform(1.3, 1.7))


def wool_toy(art: Canvas) -> None:
    """A knitted toy with fluffy edges and rows of V stitches on a soft pastel ground."""
    hue = art.uniform(0, 1)
    art.fill(hsv(hue + 0.5, 0.2, 0.98))
    palette = Palette(hsv(hue, 0.65, 0.72), hsv(hue + 0.1, 0.7, 0.52), (1.0, 0.96, 0.9), hsv(hue, 0.5, 0.25))
    colours, opacity = art.paint(palette)
    fluff = np.clip(blur(opacity, 36) * 1.7, 0, 1)
    zigzag = np.abs((art.x / 5) % 1 - 0.5) * 5
    stitch = np.sin((art.y + zigzag) * (2 * np.pi / 4.5))
    yarn = over(np.array(palette.body, np.float32), colours, opacity) * (0.97 + 0.15 * stitch)
    art.lay(hsv(hue + 0.5, 0.3, 0.75), np.roll(fluff, art.size // 20, axis=0) * 0.6)
    art.lay(yarn, fluff)


def colored_smoke(art: Canvas) -> None:
    """Saturated smoke of many hues curls out of black around a white object."""
    palette = Palette((0.97, 0.97, 0.97), (0.74, 0.74, 0.8), WHITE, (0.08, 0.06, 0.12))
    colours, opacity = art.paint(palette, (0.04, 0.02, 0.08), 1.4)
    first = art.uniform(0, 1)
    angle = np.arctan2(art.y - 32, art.x - 32) + 2 * art.clouds(4)
    hues = [0.5 + 0.5 * np.cos(angle + 2 * np.pi * (first + third / 3)) for third in range(3)]
    art.image = np.concatenate(hues, axis=2) * _smoke(art, opacity) * 0.95 + 0.03
    art.lay(colours, opacity)


def white_smoke(art: Canvas) -> None:
    """White smoke billows out of charcoal around a dark object of one deep hue."""
    hue = art.uniform(0, 1)
    palette = Palette(hsv(hue, 0.85, 0.42), hsv(hue + 0.06, 0.9, 0.26), hsv(hue, 0.25, 0.95), (0.04, 0.04, 0.05))
    colours, opacity = art.paint(palette, (0.04, 0.04, 0.06), 0.9)
    art.fill((0.17, 0.18, 0.21))
    art.lay((0.97, 0.97, 0.98), _smoke(art, opacity))
    art.lay(colours, opacity)


def _smoke(art: Canvas, opacity: Picture) -> Picture:
    """Thickness (size, size, 1) of smoke: dense about the object, curling away with distance."""
    near = np.clip(blur(opacity, 10) * 2.6, 0, 1)
    curls = 0.5 + 0.5 * np.sin(5.5 * art.clouds(4) + art.uniform(0, 6))
    return np.clip(near * (0.75 + 0.25 * curls) + 0.45 * curls * (1 - near), 0, 1)


def pop_art(art: Canvas) -> None:
    """Comic print: halftone dots, flat primaries, thick black contours."""
    ground, dot, body, accent = PRIMARIES[art.rng.integers(3)]
    step = FRAME / 8
    offset = np.where((art.y // step) % 2 > 0, step / 2, 0.0)
    away = np.hypot((art.x + offset) % step - step / 2, art.y % step - step / 2)
    art.fill(ground)
    art.lay(dot, np.clip(2.9 - away, 0, 1).astype(np.float32))
    art.show(Palette(body, accent, WHITE, (0.02, 0.02, 0.02)), (0.02, 0.02, 0.02), 1.8)
