"""The animals, facing right or the viewer, in a 64 x 64 frame (parts from back to front)."""

from __future__ import annotations

import numpy as np

from datamodules.miniature.geometry import Part, ellipse, limb, polygon


def bird(rng: np.random.Generator) -> list[Part]:
    """A bird with a raised wing, a beak, a fan of a tail and two legs."""
    wing, belly = rng.uniform(-3, 3), rng.uniform(11, 13)
    return [
        limb("dark", [(27, 46), (25, 60), (31, 61)], 3),
        limb("dark", [(36, 45), (36, 60), (42, 61)], 3),
        polygon("accent", (16, 34), (0, 28), (-1, 35), (2, 41), (8, 44), (20, 42)),
        ellipse("body", 31, 37, 18, belly, degrees=-15),
        ellipse("body", 46, 22, 10, 10),
        ellipse("light", 37, 41, 9, 6, degrees=-25),
        polygon("accent", (40, 34), (33 + wing, 15), (13 + wing, 2), (12 + wing, 14), (16, 26), (26, 36)),
        polygon("dark", (54, 18), (65, 23), (54, 27)),
        ellipse("dark", 48, 20, 2.2, 2.2),
    ]


def cat(rng: np.random.Generator) -> list[Part]:
    """A sitting cat from the front: pointed ears, whiskers, a tail curled upwards."""
    ear, tail = rng.uniform(-2, 2), rng.uniform(-3, 3)
    return [
        limb("body", [(42, 57), (55, 55), (59, 45), (55, 34 + tail)], 6, 6),
        ellipse("body", 32, 46, 15, 16),
        polygon("body", (17, 22), (16, 1 + ear), (31, 11)),
        polygon("body", (47, 22), (48, 1 + ear), (33, 11)),
        ellipse("body", 32, 22, 17, 13),
        polygon("accent", (20, 14), (19, 6 + ear), (26, 11)),
        polygon("accent", (44, 14), (45, 6 + ear), (38, 11)),
        ellipse("light", 32, 49, 7, 10),
        ellipse("light", 24.5, 21, 4.5, 4.5),
        ellipse("light", 39.5, 21, 4.5, 4.5),
        ellipse("dark", 25, 21, 2, 3.5),
        ellipse("dark", 39, 21, 2, 3.5),
        polygon("dark", (29, 27), (35, 27), (32, 30.5)),
        limb("dark", [(21, 28), (9, 26)], 1.4),
        limb("dark", [(43, 28), (55, 26)], 1.4),
    ]


def deer(rng: np.random.Generator) -> list[Part]:
    """A slender deer with large branched antlers, long thin legs and a spotted back."""
    top, leg = rng.uniform(-2, 2), rng.uniform(-1, 1)
    legs = [limb("body", [(x, 36), (x + lean, 60 + leg)], 5, 3.4) for x, lean in ((16, -2), (22, 0), (36, 1), (42, 2))]
    return [
        *legs,
        ellipse("light", 11, 30, 3.5, 5, degrees=30),
        limb("accent", [(46, 16), (40, 8), (43, -3 + top)], 3.6, 2.6),
        limb("accent", [(40, 8), (33, 3)], 3.2, 2.4),
        limb("accent", [(50, 16), (54, 8), (52, -3 + top)], 3.6, 2.6),
        limb("accent", [(54, 8), (61, 3)], 3.2, 2.4),
        ellipse("body", 28, 35, 17, 8),
        limb("body", [(39, 35), (48, 19)], 10, 7),
        ellipse("body", 41.5, 17, 4.5, 2.4, degrees=20),
        limb("body", [(48, 18), (56, 22)], 9, 6),
        *[ellipse("light", x, y, 2, 2) for x, y in ((20, 32), (26, 35), (32, 32))],
        ellipse("dark", 58.5, 22, 2.2, 2.2),
        ellipse("dark", 50, 17, 1.6, 1.6),
    ]


def dog(rng: np.random.Generator) -> list[Part]:
    """A stocky dog with a big head, a hanging ear, a blunt muzzle and an upright tail."""
    tail, ear = rng.uniform(-3, 3), rng.uniform(9, 11)
    legs = [limb("body", [(x, 42), (x, 57)], 7.5, 7) for x in (13, 21, 34, 42)]
    return [
        limb("body", [(12, 36), (5 + tail, 24), (6 + tail, 15)], 6, 4),
        *legs,
        limb("body", [(16, 39), (38, 39)], 17, 17),
        ellipse("body", 44, 22, 13, 12),
        ellipse("accent", 22, 36, 7, 5),
        limb("light", [(35, 31), (45, 37)], 3.5),
        ellipse("light", 56, 27, 8.5, 6),
        ellipse("dark", 62, 23.5, 3.2, 2.8),
        ellipse("dark", 49, 18, 2.4, 2.4),
        limb("accent", [(37, 14), (34, 18 + ear)], 7, 11),
    ]


def frog(rng: np.random.Generator) -> list[Part]:
    """A squatting frog from the front: bulging eyes, a wide mouth, folded thighs, webbed feet."""
    eye, mouth = rng.uniform(8, 9.5), rng.uniform(36, 41)
    return [
        ellipse("accent", 9, 56, 11, 4),
        ellipse("accent", 55, 56, 11, 4),
        ellipse("body", 10, 45, 9, 12, degrees=20),
        ellipse("body", 54, 45, 9, 12, degrees=-20),
        ellipse("body", 32, 42, 20, 16),
        ellipse("body", 17, 14, eye, eye),
        ellipse("body", 47, 14, eye, eye),
        ellipse("body", 32, 29, 25, 15),
        ellipse("light", 32, 50, 13, 7),
        ellipse("accent", 24, 58, 6, 3),
        ellipse("accent", 40, 58, 6, 3),
        ellipse("light", 17, 14, eye - 2.5, eye - 2.5),
        ellipse("light", 47, 14, eye - 2.5, eye - 2.5),
        ellipse("dark", 18, 14, 3.2, 3.2),
        ellipse("dark", 46, 14, 3.2, 3.2),
        limb("dark", [(14, 31), (23, mouth - 1), (32, mouth), (41, mouth - 1), (50, 31)], 2.4),
    ]


def horse(rng: np.random.Generator) -> list[Part]:
    """A trotting horse: thick arched neck with a mane, long face, long hanging tail."""
    tail, lift = rng.uniform(-2, 2), rng.uniform(-2, 2)
    return [
        limb("accent", [(12, 29), (3 + tail, 34), (0 + tail, 51)], 6, 9),
        limb("body", [(15, 36), (11, 47), (8, 59)], 8, 5),
        limb("body", [(20, 38), (23, 48), (20, 60)], 8, 5),
        limb("body", [(37, 38), (37, 48), (36, 60)], 8, 5),
        limb("body", [(40, 36), (51, 43), (49, 54 + lift)], 8, 5),
        ellipse("body", 26, 34, 17, 10),
        limb("body", [(38, 33), (48, 12)], 16, 11),
        limb("body", [(48, 11), (61, 21)], 11, 8),
        polygon("body", (46, 8), (47, -2), (53, 7)),
        polygon("accent", (50, 2), (42, 1), (35, 8), (30, 18), (26, 27), (34, 29), (41, 16)),
        ellipse("dark", 52, 11, 1.9, 1.9),
        ellipse("dark", 64, 23, 2, 2),
        *[ellipse("dark", x, y, 3.6, 2.4) for x, y in ((8, 60), (20, 61), (36, 61), (49, 55 + lift))],
    ]
