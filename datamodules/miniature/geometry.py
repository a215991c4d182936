"""Parts of a drawing: filled polygons in a 64 x 64 frame (x right, y down), each with a colour role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Role = Literal["body", "accent", "light", "dark"]
FRAME = 64.0


@dataclass(frozen=True)
class Part:
    """A filled polygon, points (n, 2) in frame units, and the palette entry that colours it."""

    role: Role
    points: Array


def polygon(role: Role, *points: tuple[float, float]) -> Part:
    """A polygon through the given corners."""
    return Part(role, np.asarray(points, dtype=np.float64))


def box(role: Role, left: float, top: float, right: float, bottom: float) -> Part:
    """An upright rectangle."""
    return polygon(role, (left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(role: Role, x: float, y: float, width: float, height: float, *, degrees: float = 0.0) -> Part:
    """An ellipse with half axes `width` and `height`, turned clockwise by `degrees`."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([width * np.cos(angle), height * np.sin(angle)], axis=1)
    return Part(role, circle @ rotation(degrees).T + [x, y])


def limb(role: Role, points: list[tuple[float, float]], start: float, end: float | None = None) -> Part:
    """A polyline with round ends whose thickness runs from `start` to `end`."""
    line = np.asarray(points, dtype=np.float64)
    steps = np.diff(line, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    along = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    radius = np.linspace(start, start if end is None else end, len(line))[:, None] / 2
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * radius
    cap = line[-1] + _half_circle(across[-1])
    tail = line[0] + _half_circle(-across[0])
    return Part(role, np.concatenate([line + across, cap, (line - across)[::-1], tail]))


def rotation(degrees: float) -> Array:
    """The (2, 2) matrix that turns column vectors clockwise on the screen (y down)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def place(parts: list[Part], rng: np.random.Generator) -> list[Part]:
    """The parts with a random small pose, fitted to fill most of the frame and centred in it."""
    flip = -1.0 if rng.random() < 0.5 else 1.0
    stretch = np.array([flip * rng.uniform(0.95, 1.05), rng.uniform(0.95, 1.05)])
    turn = rotation(rng.uniform(-5, 5))
    posed = [(part.points * stretch) @ turn.T for part in parts]
    corners = np.concatenate(posed)
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = 0.84 * FRAME * rng.uniform(0.94, 1.05) / (high - low).max()
    offset = FRAME / 2 - (low + high) / 2 * scale + rng.uniform(-1.5, 1.5, 2)
    return [Part(part.role, points * scale + offset) for part, points in zip(parts, posed, strict=True)]


def _half_circle(start: Array) -> Array:
    """Points (3, 2) on the half turn from `start` to its opposite, both ends left out."""
    return np.stack([rotation(-turn) @ start for turn in (45, 90, 135)])
