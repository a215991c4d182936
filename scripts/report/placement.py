"""Labels of points in a figure, placed where they hide neither each other nor, if possible, a point."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

# Directions to try, in turn: to the right, left, above, below, then the corners.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_ALIGNED = {-1: "right", 0: "center", 1: "left"}
_CHARACTER = 0.56  # its mean width, in font sizes


class Label(NamedTuple):
    """A text at a point, in the units of the axes."""

    text: str
    x: float
    y: float


def place(
    axis: Axes, labels: Sequence[Label], points: Sequence[tuple[float, float]], size: float, **style: Any
) -> None:
    """Write as many of the labels as find room, the first ones first; the limits of `axis` must stand already."""
    marks = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in (axis.transData.transform(point) for point in points)]
    taken: list[Bbox] = []
    for label in labels:
        around = [(_box(axis, label, size, direction), direction) for direction in _DIRECTIONS]
        free = [(box, direction) for box, direction in around if _fits(axis, box) and not box.count_overlaps(taken)]
        if free:
            box, direction = min(free, key=lambda each: each[0].count_overlaps(marks))
            taken.append(box)
            _write(axis, label, size, direction, **style)


def _offset(size: float, direction: tuple[int, int]) -> tuple[float, float]:
    """Distance of a label from its point, in points."""
    return direction[0] * size * 0.75, direction[1] * size * 0.65


def _box(axis: Axes, label: Label, size: float, direction: tuple[int, int]) -> Bbox:
    x, y = axis.transData.transform((label.x, label.y))
    scale = axis.figure.get_dpi() / 72 if axis.figure else 1.0
    width, height = len(label.text) * size * _CHARACTER, size * 1.1
    right, up = _offset(size, direction)
    left, low = right + (direction[0] - 1) * width / 2, up + (direction[1] - 1) * height / 2
    return Bbox.from_bounds(x + left * scale, y + low * scale, width * scale, height * scale)


def _fits(axis: Axes, box: Bbox) -> bool:
    inside = axis.bbox
    return bool(inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1)


def _write(axis: Axes, label: Label, size: float, direction: tuple[int, int], **style: Any) -> None:
    vertical = {-1: "top", 0: "center", 1: "bottom"}[direction[1]]
    place: dict[str, Any] = {"ha": _ALIGNED[direction[0]], "va": vertical, "xytext": _offset(size, direction)}
    at = (label.x, label.y)
    axis.annotate(label.text, at, textcoords="offset points", fontsize=size, zorder=6, **place, **style)
