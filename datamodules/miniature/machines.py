"""The vehicles and machines in a 64 x 64 frame (parts from back to front)."""

from __future__ import annotations

import numpy as np

from datamodules.miniature.geometry import Part, box, ellipse, limb, polygon


def airplane(rng: np.random.Generator) -> list[Part]:
    """An airliner flying right: two swept wings, a tail fin, a row of windows."""
    span, sweep = rng.uniform(-2, 2), rng.uniform(-2, 2)
    return [
        polygon("accent", (44, 30), (22 + sweep, 5 + span), (14 + sweep, 5 + span), (26, 30)),
        polygon("accent", (18, 30), (4, 8), (-2, 8), (3, 32)),
        polygon("body", (0, 28), (20, 24), (46, 24), (57, 27), (64, 33), (58, 38), (46, 40), (20, 40), (4, 34)),
        polygon("light", (50, 26.5), (57, 28), (60, 31.5), (51, 31.5)),
        *[ellipse("dark", x, 30, 2, 2) for x in (16, 23, 30, 37, 44)],
        polygon("accent", (44, 35), (20 + sweep, 62 - span), (11 + sweep, 62 - span), (25, 35)),
        polygon("accent", (14, 33), (4, 42), (-1, 42), (4, 33)),
    ]


def automobile(rng: np.random.Generator) -> list[Part]:
    """A low round car: domed cabin with two windows and two large wheels."""
    roof, wheel = rng.uniform(-2, 2), rng.uniform(8.5, 10)
    top = 14 + roof
    return [
        polygon("body", (11, 34), (17, top + 5), (24, top), (40, top), (47, top + 5), (54, 34)),
        polygon("body", (0, 38), (4, 32), (56, 32), (63, 37), (64, 50), (0, 50)),
        polygon("light", (16, 32), (20, top + 7), (25, top + 3.5), (30, top + 3.5), (30, 32)),
        polygon("light", (34, 32), (34, top + 3.5), (39, top + 3.5), (44, top + 7), (48, 32)),
        box("accent", 0, 43, 64, 47),
        ellipse("light", 61, 38, 3.5, 3.5),
        *[ellipse("dark", x, 50, wheel, wheel) for x in (15, 49)],
        *[ellipse("light", x, 50, 4, 4) for x in (15, 49)],
    ]


def ship(rng: np.random.Generator) -> list[Part]:
    """A sailing ship: a hull with portholes, a mast, two triangular sails, a pennant."""
    sail, stern = rng.uniform(-2, 2), rng.uniform(-2, 2)
    return [
        box("dark", 29.5, 2, 33, 46),
        polygon("accent", (31, -1), (31, 6), (18, 2.5)),
        polygon("light", (35, 5), (61, 39 + sail), (35, 39 + sail)),
        polygon("accent", (28, 10), (28, 39 - sail), (5, 39 - sail)),
        polygon("body", (-2 + stern, 44), (66, 44), (55, 62), (10, 62)),
        box("accent", 1, 44, 63, 48.5),
        *[ellipse("light", x, 54, 2.6, 2.6) for x in (20, 32, 44)],
    ]


def truck(rng: np.random.Generator) -> list[Part]:
    """A truck: a tall box, a separate cab with a window, three wheels."""
    top, wheel = rng.uniform(-2, 2), rng.uniform(6.5, 7.5)
    return [
        box("dark", 0, 44, 64, 51),
        box("accent", -1, 7 + top, 40, 46),
        box("light", 4, 21 + top, 35, 29 + top),
        polygon("body", (43, 20), (55, 20), (64, 34), (65, 49), (43, 49)),
        polygon("light", (47, 24), (54, 24), (60, 34), (47, 34)),
        *[ellipse("dark", x, 53, wheel, wheel) for x in (8, 24, 53)],
        *[ellipse("light", x, 53, 2.8, 2.8) for x in (8, 24, 53)],
    ]


def laptop(rng: np.random.Generator) -> list[Part]:
    """An open laptop: a framed screen with a few lines on it above a keyboard in perspective."""
    inset, top = rng.uniform(-1.5, 1.5), rng.uniform(-2, 2)
    left, right = 9 + inset, 55 - inset
    return [
        box("body", left, 5 + top, right, 41),
        box("light", left + 4, 9 + top, right - 4, 37),
        box("accent", left + 8, 14 + top, right - 18, 18 + top),
        box("accent", left + 8, 22 + top, right - 9, 26 + top),
        box("dark", left + 3, 41, right - 3, 44),
        polygon("body", (left, 43), (right, 43), (66, 59), (-2, 59)),
        polygon("dark", (left + 3, 45.5), (right - 3, 45.5), (58, 52), (6, 52)),
        polygon("accent", (25, 53.5), (39, 53.5), (40, 57), (24, 57)),
    ]


def rocket(rng: np.random.Generator) -> list[Part]:
    """An upright rocket: a pointed nose, a porthole, three fins and a flame."""
    fin, flame = rng.uniform(-2, 2), rng.uniform(-2, 3)
    return [
        polygon("light", (23, 50), (41, 50), (38, 58), (32, 66 + flame), (26, 58)),
        polygon("dark", (28, 50), (36, 50), (32, 59)),
        polygon("accent", (22, 30), (8 - fin, 46), (8 - fin, 57), (23, 49)),
        polygon("accent", (42, 30), (56 + fin, 46), (56 + fin, 57), (41, 49)),
        polygon("body", (32, -4), (40, 6), (44, 18), (44, 36), (41, 50), (23, 50), (20, 36), (20, 18), (24, 6)),
        polygon("accent", (32, -4), (40, 6), (42.5, 13), (21.5, 13), (24, 6)),
        ellipse("dark", 32, 24, 8, 8),
        ellipse("light", 32, 24, 5.5, 5.5),
        limb("accent", [(32, 38), (32, 52)], 4.5),
    ]
