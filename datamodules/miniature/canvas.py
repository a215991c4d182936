"""Outlines in a 64 x 64 frame, and pictures painted of them; opacities and textures are float32 (size, size, 1).

Outlines are polygons `(n, 2)`, x to the right, y down.
"""

import colorsys
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.floating]
Picture = NDArray[np.floating]
Colour = tuple[float, float, float]
Role = Literal["body", "accent", "light", "dark"]
FRAME = 64.0
SUPERSAMPLING = 3


class Part(NamedTuple):
    """A filled polygon, points (n, 2) in frame units, and the palette entry that colours it."""

    role: Role
    points: Array


def polygon(*points: tuple[float, float]) -> Array:
    """A polygon through the given corners."""
    return np.asarray(points, dtype=np.float64)


def box(left: float, top: float, right: float, bottom: float) -> Array:
    """An upright rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(x: float, y: float, width: float, height: float, *, degrees: float = 0.0) -> Array:
    """An ellipse with half axes `width` and `height`, turned clockwise by `degrees`."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([width * np.cos(angle), height * np.sin(angle)], axis=1)
    return circle @ rotation(degrees).T + [x, y]


def limb(points: list[tuple[float, float]], start: float, end: float | None = None) -> Array:
    """A polyline with round ends whose thickness runs from `start` to `end`."""
    line = np.asarray(points, dtype=np.float64)
    steps = np.diff(line, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    along = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    radius = np.linspace(start, start if end is None else end, len(line))[:, None] / 2
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * radius
    cap, tail = (
        centre + np.stack([rotation(-turn) @ side for turn in (45, 90, 135)])
        for centre, side in ((line[-1], across[-1]), (line[0], -across[0]))
    )
    return np.concatenate([line + across, cap, (line - across)[::-1], tail])


def rotation(degrees: float) -> Array:
    """The (2, 2) matrix that turns column vectors clockwise on the screen (y down)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]])


class Palette(NamedTuple):
    """The colour of each role."""

    body: Colour
    accent: Colour
    light: Colour
    dark: Colour


class Stroke(NamedTuple):
    """Points in frame units: those of "disc" and "ring" bound a box, those of "form" are corners, "line" joins them."""

    kind: str
    points: list[tuple[float, float]]
    width: float = 0.0


class Canvas:
    """A square picture in the making, which shows one object.

    Args:
        parts: the object.
        rng: the chance of this picture.
        size: pixels a side.

    Attributes:
        image: the picture so far, (size, size, 3) in [0, 1].
        x, y: frame coordinates of the pixel centres, each (size, size, 1).
    """

    def __init__(self, parts: list[Part], rng: np.random.Generator, size: int) -> None:
        self.parts, self.rng, self.size, self.uniform = parts, rng, size, rng.uniform
        self.image: Picture = np.zeros((size, size, 3), dtype=np.float32)
        ticks = (np.arange(size, dtype=np.float32) + 0.5) * (FRAME / size)
        self.x, self.y = np.broadcast_arrays(ticks[None, :, None], ticks[:, None, None])

    def fill(self, *stops: Colour) -> None:
        """One colour everywhere, or a vertical run through several, first on top."""
        place, rows = np.linspace(0, 1, len(stops)), np.linspace(0, 1, self.size)
        columns = [np.interp(rows, place, [stop[channel] for stop in stops]) for channel in range(3)]
        self.image = np.repeat(np.stack(columns, axis=1)[:, None, :], self.size, axis=1).astype(np.float32)

    def lay(self, colours: Picture | Colour, opacity: Picture) -> None:
        """Colours over the picture."""
        self.image = over(self.image, colours, opacity)

    def draw(self, colour: Colour, strokes: list[Stroke], strength: Picture | float = 1.0) -> None:
        """Strokes of one colour over the picture."""
        self.lay(colour, self.stencil(strokes) * strength)

    def show(self, palette: Palette, line: Colour | None = None, width: float = 0.0) -> Picture:
        """The object over the picture, as `paint` paints it; returns its opacity."""
        colours, opacity = self.paint(palette, line, width)
        self.lay(colours, opacity)
        return opacity

    def paint(self, palette: Palette, line: Colour | None = None, width: float = 0.0) -> tuple[Picture, Picture]:
        """Colours (size, size, 3) and opacity (size, size, 1) of the object; lines are `width` frame units thick.

        Neighbours in the list that share a role are outlined as one form; dark details get a thin line at most.
        """
        scale = self.size * SUPERSAMPLING / FRAME
        layer = Image.new("RGBA", (self.size * SUPERSAMPLING,) * 2, (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        for role, group in groupby(self.parts, key=lambda part: part.role):
            paths = [[(x, y) for x, y in (part.points * scale).tolist()] for part in group]
            if line is not None:
                # a full line would swell eyes and whiskers into blots
                thickness = round(2 * scale * (min(width, 0.5) if role == "dark" else width))
                for path in paths:
                    draw.line([*path, *path[:2]], fill=_bytes(line), width=thickness, joint="curve")
            for path in paths:
                draw.polygon(path, _bytes(getattr(palette, role)))
        pixels = np.asarray(layer.reduce(SUPERSAMPLING), dtype=np.float32) / 255
        return pixels[..., :3], pixels[..., 3:]

    def stencil(self, strokes: list[Stroke]) -> Picture:
        """Opacity of strokes."""
        scale = self.size * SUPERSAMPLING / FRAME
        image = Image.new("L", (self.size * SUPERSAMPLING,) * 2, 0)
        draw = ImageDraw.Draw(image)
        for kind, points, width in strokes:
            path = [(x * scale, y * scale) for x, y in points]
            thickness = max(1, round(width * scale))
            if kind == "disc":
                draw.ellipse(path, fill=255)
            elif kind == "ring":
                draw.ellipse(path, outline=255, width=thickness)
            elif kind == "form":
                draw.polygon(path, fill=255)
            else:
                draw.line(path, fill=255, width=thickness)
        return _channel(image.reduce(SUPERSAMPLING))

    def discs(self, count: int, low: float, high: float) -> Picture:
        """Opacity of `count` discs at random places, radii from `low` to `high` frame units."""
        centres, radii = self.uniform(0, FRAME, (count, 2)), self.uniform(low, high, count)
        places = zip(*centres.T.tolist(), radii.tolist(), strict=True)
        return self.stencil([Stroke("disc", [(x - r, y - r), (x + r, y + r)]) for x, y, r in places])

    def clouds(self, cells: int) -> Picture:
        """Smooth noise in [0, 1] with about `cells` bumps a side."""
        coarse = Image.fromarray(self.rng.integers(0, 256, (cells, cells), dtype=np.uint8))
        return _channel(coarse.resize((self.size, self.size), Image.Resampling.BICUBIC))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """An RGB colour from hue (any real, 1 is a full turn), saturation and value in [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def over(background: Picture, colours: Picture | Colour, opacity: Picture) -> Picture:
    """The colours laid over the background with the given opacity."""
    return background + (np.asarray(colours, dtype=np.float32) - background) * opacity


def blur(opacity: Picture, part: float) -> Picture:
    """Smoothed by a Gaussian of one `part`-th of the side."""
    image = Image.fromarray((opacity[..., 0] * 255).astype(np.uint8))
    return _channel(image.filter(ImageFilter.GaussianBlur(len(opacity) / part)))


def relief(opacity: Picture, part: float) -> Picture:
    """Light from above left on the object as if it were rounded over one `part`-th of the side: about -1 to 1."""
    height = blur(opacity, part)[..., 0]
    slope = np.zeros_like(height)
    slope[1:-1, 1:-1] = height[2:, 1:-1] - height[:-2, 1:-1] + height[1:-1, 2:] - height[1:-1, :-2]
    return np.clip(3 * slope, -1, 1)[..., None]


def _bytes(colour: Colour) -> tuple[int, int, int, int]:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in colour)
    return red, green, blue, 255


def _channel(image: Image.Image) -> Picture:
    return np.asarray(image, dtype=np.float32)[..., None] / 255
