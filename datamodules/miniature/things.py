"""The remaining prompt contents in a 64 x 64 frame (parts from back to front)."""

from __future__ import annotations

import numpy as np

from datamodules.miniature.geometry import Part, box, ellipse, limb, polygon


def bench(rng: np.random.Generator) -> list[Part]:
    """A park bench from the front: two slats of a back, a seat, armrests, four legs."""
    top, seat = rng.uniform(-2, 2), rng.uniform(-1, 1)
    return [
        box("dark", 7, 8 + top, 12, 40),
        box("dark", 52, 8 + top, 57, 40),
        box("body", 1, 11 + top, 63, 18 + top),
        box("body", 1, 22 + top / 2, 63, 29 + top / 2),
        box("dark", 5, 42, 10, 60),
        box("dark", 54, 42, 59, 60),
        box("dark", 18, 42, 22, 54),
        box("dark", 42, 42, 46, 54),
        polygon("accent", (4, 37 + seat), (60, 37 + seat), (65, 46 + seat), (-1, 46 + seat)),
        limb("accent", [(3, 32), (9, 31)], 4),
        limb("accent", [(55, 31), (61, 32)], 4),
    ]


def human(rng: np.random.Generator) -> list[Part]:
    """A person from the front with both arms out and the legs apart."""
    hand, foot = rng.uniform(-4, 4), rng.uniform(-1.5, 1.5)
    return [
        *[limb("accent", [(x, 38), (end, 58)], 9, 7.5) for x, end in ((27.5, 22 - foot), (36.5, 42 + foot))],
        *[ellipse("dark", x, 61, 6.5, 3.4) for x in (20.5 - foot, 43.5 + foot)],
        *[ellipse("light", x, 19 + hand, 4.2, 4.2) for x in (5, 59)],
        limb("body", [(24, 26), (14, 25), (8, 20 + hand)], 8, 6.5),
        limb("body", [(40, 26), (50, 25), (56, 20 + hand)], 8, 6.5),
        polygon("body", (23, 21.5), (41, 21.5), (42, 42), (22, 42)),
        box("dark", 22, 38.5, 42, 41.5),
        ellipse("dark", 32, 7.5, 11, 10.5),
        ellipse("light", 32, 11.5, 9, 9),
        ellipse("dark", 28.5, 11, 1.5, 1.8),
        ellipse("dark", 35.5, 11, 1.5, 1.8),
    ]


def flower(rng: np.random.Generator) -> list[Part]:
    """A flower: six or seven round petals about a disc, on a stem with two leaves."""
    count, bend, turn = int(rng.integers(6, 8)), rng.uniform(-2, 2), rng.uniform(0, 2 * np.pi)
    angles = turn + np.arange(count) * 2 * np.pi / count
    petals = [ellipse("body", 32 + 13 * np.cos(a), 19 + 13 * np.sin(a), 9, 6.8, degrees=np.degrees(a)) for a in angles]
    return [
        limb("accent", [(32, 30), (31 + bend, 46), (32, 64)], 4.5),
        polygon("accent", (32, 58), (24, 55), (17, 46), (16, 41), (26, 45)),
        polygon("accent", (32, 55), (40, 52), (47, 43), (48, 38), (38, 42)),
        *petals,
        ellipse("dark", 32, 19, 8.5, 8.5),
        ellipse("light", 32, 19, 6.5, 6.5),
    ]
