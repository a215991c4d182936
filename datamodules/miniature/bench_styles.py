"""Styles that the miniature's training has never seen, and a plain one for content images."""

from collections.abc import Callable

import numpy as np

from datamodules.miniature.canvas import FRAME, Canvas, Colour, Palette, Picture, Stroke, blur, hsv, over, relief

TILE = 4


def stained_glass(art: Canvas) -> None:
    """Panes of deep, glowing colours about a rosette, held by thick black lead."""
    x, y = art.uniform(24, 40, 2)
    angle = np.arctan2(art.y - y, art.x - x) / (2 * np.pi) + art.uniform(0, 1)
    pane = (angle * 10) % 10
    ring = np.hypot(art.x - x, art.y - y) / 15
    hues = art.rng.permutation(10)[(pane.astype(int) + 3 * ring.astype(int)) % 10] / 10
    tint = np.concatenate([0.5 + 0.5 * np.cos(2 * np.pi * (hues + third / 3)) for third in range(3)], axis=2)
    from_lead = np.minimum(np.minimum(pane % 1, 1 - pane % 1) * ring * 9, np.minimum(ring % 1, 1 - ring % 1) * 15)
    art.image = ((0.1 + 0.7 * tint) * np.clip(from_lead - 0.4, 0, 1)).astype(np.float32)
    hue, lead = art.uniform(0, 1), (0.03, 0.03, 0.05)
    palette = Palette(hsv(hue, 0.95, 0.95), hsv(hue + 0.35, 0.95, 0.8), (1.0, 0.97, 0.75), lead)
    colours, opacity = art.paint(palette, lead, 2.2)
    art.lay(colours * (0.85 + 0.3 * art.clouds(6)), opacity)


def blueprint(art: Canvas) -> None:
    """Thin white lines with measures on squared blue paper."""
    blue = hsv(art.uniform(0.6, 0.63), 0.82, art.uniform(0.55, 0.65))
    step, first = FRAME / 8, art.uniform(0, FRAME / 8)
    places = [first + step * k for k in range(-1, 9)]
    squares = [Stroke("line", [(at, 0), (at, FRAME)], 0.5) for at in places]
    squares += [Stroke("line", [(0, at), (FRAME, at)], 0.5) for at in places]
    art.fill(blue)
    art.draw((1.0, 1.0, 1.0), squares, 0.25)
    white = (0.93, 0.97, 1.0)
    art.show(Palette(blue, blue, blue, white), white, 0.8)
    ends = [(6, 61), (58, 61)], [(6, 59), (6, 63)], [(58, 59), (58, 63)]
    art.draw(white, [Stroke("line", list(measure), 0.8) for measure in ends])


def mosaic(art: Canvas) -> None:
    """Small square stones of uneven colour in pale mortar: terracotta and sea green on sand."""
    sea = art.uniform(0.45, 0.55)
    terracotta = hsv(art.uniform(0.02, 0.06), 0.75, 0.72)
    art.fill((0.86, 0.76, 0.56))
    art.show(Palette(terracotta, hsv(sea, 0.7, 0.5), (0.97, 0.93, 0.82), (0.15, 0.12, 0.14)))
    side = max(2, round(art.size * TILE / FRAME))
    pixel = np.arange(art.size)
    tile, centre = pixel // side, np.minimum(pixel // side * side + side // 2, art.size - 1)
    stones = art.image[centre][:, centre]
    uneven = art.uniform(0.8, 1.15, (art.size // side + 1,) * 2)[tile][:, tile]
    art.image = stones * uneven[..., None].astype(np.float32)
    mortar = (pixel % side == 0).astype(np.float32)
    joints = np.maximum(mortar[:, None], mortar[None, :])[..., None] * 0.8 * min(1.0, art.size / FRAME)
    art.lay((0.93, 0.91, 0.86), joints)


def chalkboard(art: Canvas) -> None:
    """Crumbling chalk lines on a wiped, dark green board."""
    board, white = hsv(art.uniform(0.38, 0.44), 0.5, 0.26), (0.95, 0.95, 0.92)
    art.fill(board)
    art.lay((0.8, 0.85, 0.82), np.clip(1.6 * art.clouds(3) - 0.5, 0, 1) * 0.22)
    chalk = hsv(art.rng.choice([0.14, 0.95, 0.55]) + art.uniform(-0.02, 0.02), 0.4, 1.0)
    grain = np.clip(art.uniform(0.35, 1.15, (art.size, art.size, 1)), 0, 1).astype(np.float32)
    colours, opacity = art.paint(Palette(board, chalk, board, white), white, 1.4)
    lines = np.abs(colours - np.array(board, np.float32)).max(axis=2, keepdims=True) > 0.1
    art.lay(colours, opacity * lines * grain)


def woodcut(art: Canvas) -> None:
    """Black ink cut in slanting strokes, thicker in the shade, on warm paper."""
    paper, ink = hsv(art.uniform(0.09, 0.12), 0.2, 0.94), (0.09, 0.07, 0.06)
    turn = art.uniform(-0.5, 0.5)
    wave = 0.5 + 0.5 * np.sin((art.x * np.cos(1 + turn) + art.y * np.sin(1 + turn)) * 2 * np.pi / 4)
    sky = 0.5 + 0.5 * np.sin((art.y + 3 * art.clouds(4)) * 2 * np.pi / 5)
    art.fill(paper)
    art.lay(ink, np.clip(4 * (sky - 0.8), 0, 1))
    tones, opacity = art.paint(Palette(_grey(0.55), _grey(0.25), _grey(0.95), _grey(0.0)), _grey(0.0), 1.5)
    shade = 1 - np.clip(tones[..., :1] + 0.25 * relief(opacity, 20), 0, 1)
    cut = np.clip(5 * (shade + 0.5 * (wave - 0.5) - 0.5) + 0.5, 0, 1)
    art.lay(over(np.array(paper, np.float32), ink, cut), opacity)


def paper_cut(art: Canvas) -> None:
    """Sheets of pastel paper in layers, each with a soft shadow on the one below."""
    hue = art.uniform(0, 1)
    art.fill(hsv(hue, 0.18, 0.98), hsv(hue, 0.25, 0.92))
    for layer in range(3):
        left, right = art.uniform(26, 44, 2) + 9 * layer
        hill: list[tuple[float, float]] = [(-4, left), (20, left - 7), (42, right), (68, right - 8), (68, 68), (-4, 68)]
        sheet = hsv(hue + 0.05 + 0.09 * layer, 0.3 + 0.1 * layer, 0.95 - 0.1 * layer)
        _lay_sheet(art, sheet, art.stencil([Stroke("form", hill)]))
    body, accent = hsv(hue + 0.5, 0.55, 0.95), hsv(hue + 0.58, 0.6, 0.75)
    palette = Palette(body, accent, (1.0, 0.99, 0.96), hsv(hue, 0.5, 0.3))
    _lay_sheet(art, *art.paint(palette, (1.0, 1.0, 1.0), 1.2))


def _lay_sheet(art: Canvas, colours: Picture | Colour, opacity: Picture) -> None:
    """A sheet of paper on the picture, with its shadow below and to the right."""
    size, shift = art.size, max(1, round(art.size / 32))
    shadow = np.pad(blur(opacity, 32), ((shift, 0), (shift, 0), (0, 0)), mode="edge")[:size, :size]
    art.lay((0.1, 0.08, 0.15), shadow * 0.45)
    art.lay(colours, opacity)


def plain(art: Canvas) -> None:
    """Flat grey forms with clear dark contours on white: what is drawn, and little else."""
    grey = art.uniform(0.55, 0.7)
    art.fill(_grey(1.0))
    art.show(Palette(_grey(grey), _grey(grey - 0.2), _grey(0.9), _grey(0.1)), _grey(0.1), 1.0)


def _grey(value: float) -> Colour:
    return value, value, value


BENCH_STYLES: dict[str, Callable[[Canvas], None]] = {
    "stained glass": stained_glass,
    "blueprint": blueprint,
    "mosaic": mosaic,
    "chalkboard": chalkboard,
    "woodcut": woodcut,
    "paper cut": paper_cut,
}
"""By name; the miniature's weights were trained without them."""
