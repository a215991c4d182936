"""The fifteen contents, facing right or the viewer, in a 64 x 64 frame.

Each yields its forms from back to front: a colour role and the outlines that have it.
"""

from collections.abc import Callable, Iterator

import numpy as np

from datamodules.miniature.canvas import FRAME, Array, Part, Role, box, ellipse, limb, polygon, rotation

Forms = Iterator[tuple[Role, *tuple[Array, ...]]]
Rng = np.random.Generator


def airplane(rng: Rng) -> Forms:
    """An airliner flying right: two swept wings, a tail fin, a row of windows."""
    span, sweep = rng.uniform(-2, 2), rng.uniform(-2, 2)
    yield "accent", polygon((44, 30), (22 + sweep, 5 + span), (14 + sweep, 5 + span), (26, 30))
    yield "accent", polygon((18, 30), (4, 8), (-2, 8), (3, 32))
    fuselage = (0, 28), (20, 24), (46, 24), (57, 27), (64, 33), (58, 38), (46, 40), (20, 40), (4, 34)
    yield "body", polygon(*fuselage)
    yield "light", polygon((50, 26.5), (57, 28), (60, 31.5), (51, 31.5))
    yield "dark", *(ellipse(x, 30, 2, 2) for x in (16, 23, 30, 37, 44))
    yield "accent", polygon((44, 35), (20 + sweep, 62 - span), (11 + sweep, 62 - span), (25, 35))
    yield "accent", polygon((14, 33), (4, 42), (-1, 42), (4, 33))


def automobile(rng: Rng) -> Forms:
    """A low round car: domed cabin with two windows and two large wheels."""
    roof, wheel = rng.uniform(-2, 2), rng.uniform(8.5, 10)
    top = 14 + roof
    yield "body", polygon((11, 34), (17, top + 5), (24, top), (40, top), (47, top + 5), (54, 34))
    yield "body", polygon((0, 38), (4, 32), (56, 32), (63, 37), (64, 50), (0, 50))
    yield "light", polygon((16, 32), (20, top + 7), (25, top + 3.5), (30, top + 3.5), (30, 32))
    yield "light", polygon((34, 32), (34, top + 3.5), (39, top + 3.5), (44, top + 7), (48, 32))
    yield "accent", box(0, 43, 64, 47)
    yield "light", ellipse(61, 38, 3.5, 3.5)
    yield "dark", ellipse(15, 50, wheel, wheel), ellipse(49, 50, wheel, wheel)
    yield "light", ellipse(15, 50, 4, 4), ellipse(49, 50, 4, 4)


def bird(rng: Rng) -> Forms:
    """A bird with a raised wing, a beak, a fan of a tail and two legs."""
    wing, belly = rng.uniform(-3, 3), rng.uniform(11, 13)
    yield "dark", limb([(27, 46), (25, 60), (31, 61)], 3), limb([(36, 45), (36, 60), (42, 61)], 3)
    yield "accent", polygon((16, 34), (0, 28), (-1, 35), (2, 41), (8, 44), (20, 42))
    yield "body", ellipse(31, 37, 18, belly, degrees=-15), ellipse(46, 22, 10, 10)
    yield "light", ellipse(37, 41, 9, 6, degrees=-25)
    yield "accent", polygon((40, 34), (33 + wing, 15), (13 + wing, 2), (12 + wing, 14), (16, 26), (26, 36))
    yield "dark", polygon((54, 18), (65, 23), (54, 27)), ellipse(48, 20, 2.2, 2.2)


def cat(rng: Rng) -> Forms:
    """A sitting cat from the front: pointed ears, whiskers, a tail curled upwards."""
    ear, tail = rng.uniform(-2, 2), rng.uniform(-3, 3)
    yield "body", limb([(42, 57), (55, 55), (59, 45), (55, 34 + tail)], 6, 6), ellipse(32, 46, 15, 16)
    yield "body", polygon((17, 22), (16, 1 + ear), (31, 11)), polygon((47, 22), (48, 1 + ear), (33, 11))
    yield "body", ellipse(32, 22, 17, 13)
    yield "accent", polygon((20, 14), (19, 6 + ear), (26, 11)), polygon((44, 14), (45, 6 + ear), (38, 11))
    yield "light", ellipse(32, 49, 7, 10), ellipse(24.5, 21, 4.5, 4.5), ellipse(39.5, 21, 4.5, 4.5)
    yield "dark", ellipse(25, 21, 2, 3.5), ellipse(39, 21, 2, 3.5), polygon((29, 27), (35, 27), (32, 30.5))
    yield "dark", limb([(21, 28), (9, 26)], 1.4), limb([(43, 28), (55, 26)], 1.4)


def deer(rng: Rng) -> Forms:
    """A slender deer with large branched antlers, long thin legs and a spotted back."""
    top, leg = rng.uniform(-2, 2), rng.uniform(-1, 1)
    legs = (16, -2), (22, 0), (36, 1), (42, 2)
    yield "body", *(limb([(x, 36), (x + lean, 60 + leg)], 5, 3.4) for x, lean in legs)
    yield "light", ellipse(11, 30, 3.5, 5, degrees=30)
    yield "accent", limb([(46, 16), (40, 8), (43, -3 + top)], 3.6, 2.6), limb([(40, 8), (33, 3)], 3.2, 2.4)
    yield "accent", limb([(50, 16), (54, 8), (52, -3 + top)], 3.6, 2.6), limb([(54, 8), (61, 3)], 3.2, 2.4)
    yield "body", ellipse(28, 35, 17, 8), limb([(39, 35), (48, 19)], 10, 7)
    yield "body", ellipse(41.5, 17, 4.5, 2.4, degrees=20), limb([(48, 18), (56, 22)], 9, 6)
    yield "light", ellipse(20, 32, 2, 2), ellipse(26, 35, 2, 2), ellipse(32, 32, 2, 2)
    yield "dark", ellipse(58.5, 22, 2.2, 2.2), ellipse(50, 17, 1.6, 1.6)


def dog(rng: Rng) -> Forms:
    """A stocky dog with a big head, a hanging ear, a blunt muzzle and an upright tail."""
    tail, ear = rng.uniform(-3, 3), rng.uniform(9, 11)
    yield "body", limb([(12, 36), (5 + tail, 24), (6 + tail, 15)], 6, 4)
    yield "body", *(limb([(x, 42), (x, 57)], 7.5, 7) for x in (13, 21, 34, 42))
    yield "body", limb([(16, 39), (38, 39)], 17, 17), ellipse(44, 22, 13, 12)
    yield "accent", ellipse(22, 36, 7, 5)
    yield "light", limb([(35, 31), (45, 37)], 3.5), ellipse(56, 27, 8.5, 6)
    yield "dark", ellipse(62, 23.5, 3.2, 2.8), ellipse(49, 18, 2.4, 2.4)
    yield "accent", limb([(37, 14), (34, 18 + ear)], 7, 11)


def frog(rng: Rng) -> Forms:
    """A squatting frog from the front: bulging eyes, a wide mouth, folded thighs, webbed feet."""
    eye, mouth = rng.uniform(8, 9.5), rng.uniform(36, 41)
    yield "accent", ellipse(9, 56, 11, 4), ellipse(55, 56, 11, 4)
    yield "body", ellipse(10, 45, 9, 12, degrees=20), ellipse(54, 45, 9, 12, degrees=-20), ellipse(32, 42, 20, 16)
    yield "body", ellipse(17, 14, eye, eye), ellipse(47, 14, eye, eye), ellipse(32, 29, 25, 15)
    yield "light", ellipse(32, 50, 13, 7)
    yield "accent", ellipse(24, 58, 6, 3), ellipse(40, 58, 6, 3)
    yield "light", ellipse(17, 14, eye - 2.5, eye - 2.5), ellipse(47, 14, eye - 2.5, eye - 2.5)
    yield "dark", ellipse(18, 14, 3.2, 3.2), ellipse(46, 14, 3.2, 3.2)
    yield "dark", limb([(14, 31), (23, mouth - 1), (32, mouth), (41, mouth - 1), (50, 31)], 2.4)


def horse(rng: Rng) -> Forms:
    """A trotting horse: thick arched neck with a mane, long face, long hanging tail."""
    tail, lift = rng.uniform(-2, 2), rng.uniform(-2, 2)
    yield "accent", limb([(12, 29), (3 + tail, 34), (0 + tail, 51)], 6, 9)
    yield "body", limb([(15, 36), (11, 47), (8, 59)], 8, 5), limb([(20, 38), (23, 48), (20, 60)], 8, 5)
    yield "body", limb([(37, 38), (37, 48), (36, 60)], 8, 5), limb([(40, 36), (51, 43), (49, 54 + lift)], 8, 5)
    yield "body", ellipse(26, 34, 17, 10), limb([(38, 33), (48, 12)], 16, 11), limb([(48, 11), (61, 21)], 11, 8)
    yield "body", polygon((46, 8), (47, -2), (53, 7))
    yield "accent", polygon((50, 2), (42, 1), (35, 8), (30, 18), (26, 27), (34, 29), (41, 16))
    yield "dark", ellipse(52, 11, 1.9, 1.9), ellipse(64, 23, 2, 2)
    yield "dark", *(ellipse(x, y, 3.6, 2.4) for x, y in ((8, 60), (20, 61), (36, 61), (49, 55 + lift)))


def ship(rng: Rng) -> Forms:
    """A sailing ship: a hull with portholes, a mast, two triangular sails, a pennant."""
    sail, stern = rng.uniform(-2, 2), rng.uniform(-2, 2)
    yield "dark", box(29.5, 2, 33, 46)
    yield "accent", polygon((31, -1), (31, 6), (18, 2.5))
    yield "light", polygon((35, 5), (61, 39 + sail), (35, 39 + sail))
    yield "accent", polygon((28, 10), (28, 39 - sail), (5, 39 - sail))
    yield "body", polygon((-2 + stern, 44), (66, 44), (55, 62), (10, 62))
    yield "accent", box(1, 44, 63, 48.5)
    yield "light", *(ellipse(x, 54, 2.6, 2.6) for x in (20, 32, 44))


def truck(rng: Rng) -> Forms:
    """A truck: a tall box, a separate cab with a window, three wheels."""
    top, wheel = rng.uniform(-2, 2), rng.uniform(6.5, 7.5)
    yield "dark", box(0, 44, 64, 51)
    yield "accent", box(-1, 7 + top, 40, 46)
    yield "light", box(4, 21 + top, 35, 29 + top)
    yield "body", polygon((43, 20), (55, 20), (64, 34), (65, 49), (43, 49))
    yield "light", polygon((47, 24), (54, 24), (60, 34), (47, 34))
    yield "dark", *(ellipse(x, 53, wheel, wheel) for x in (8, 24, 53))
    yield "light", *(ellipse(x, 53, 2.8, 2.8) for x in (8, 24, 53))


def bench(rng: Rng) -> Forms:
    """A park bench from the front: two slats of a back, a seat, armrests, four legs."""
    top, seat = rng.uniform(-2, 2), rng.uniform(-1, 1)
    yield "dark", box(7, 8 + top, 12, 40), box(52, 8 + top, 57, 40)
    yield "body", box(1, 11 + top, 63, 18 + top), box(1, 22 + top / 2, 63, 29 + top / 2)
    yield "dark", box(5, 42, 10, 60), box(54, 42, 59, 60), box(18, 42, 22, 54), box(42, 42, 46, 54)
    yield "accent", polygon((4, 37 + seat), (60, 37 + seat), (65, 46 + seat), (-1, 46 + seat))
    yield "accent", limb([(3, 32), (9, 31)], 4), limb([(55, 31), (61, 32)], 4)


def human(rng: Rng) -> Forms:
    """A person from the front with both arms out and the legs apart."""
    hand, foot = rng.uniform(-4, 4), rng.uniform(-1.5, 1.5)
    yield "accent", *(limb([(x, 38), (end, 58)], 9, 7.5) for x, end in ((27.5, 22 - foot), (36.5, 42 + foot)))
    yield "dark", ellipse(20.5 - foot, 61, 6.5, 3.4), ellipse(43.5 + foot, 61, 6.5, 3.4)
    yield "light", ellipse(5, 19 + hand, 4.2, 4.2), ellipse(59, 19 + hand, 4.2, 4.2)
    yield (
        "body",
        limb([(24, 26), (14, 25), (8, 20 + hand)], 8, 6.5),
        limb([(40, 26), (50, 25), (56, 20 + hand)], 8, 6.5),
    )
    yield "body", polygon((23, 21.5), (41, 21.5), (42, 42), (22, 42))
    yield "dark", box(22, 38.5, 42, 41.5), ellipse(32, 7.5, 11, 10.5)
    yield "light", ellipse(32, 11.5, 9, 9)
    yield "dark", ellipse(28.5, 11, 1.5, 1.8), ellipse(35.5, 11, 1.5, 1.8)


def laptop(rng: Rng) -> Forms:
    """An open laptop: a framed screen with a few lines on it above a keyboard in perspective."""
    inset, top = rng.uniform(-1.5, 1.5), rng.uniform(-2, 2)
    left, right = 9 + inset, 55 - inset
    yield "body", box(left, 5 + top, right, 41)
    yield "light", box(left + 4, 9 + top, right - 4, 37)
    yield "accent", box(left + 8, 14 + top, right - 18, 18 + top), box(left + 8, 22 + top, right - 9, 26 + top)
    yield "dark", box(left + 3, 41, right - 3, 44)
    yield "body", polygon((left, 43), (right, 43), (66, 59), (-2, 59))
    yield "dark", polygon((left + 3, 45.5), (right - 3, 45.5), (58, 52), (6, 52))
    yield "accent", polygon((25, 53.5), (39, 53.5), (40, 57), (24, 57))


def rocket(rng: Rng) -> Forms:
    """An upright rocket: a pointed nose, a porthole, three fins and a flame."""
    fin, flame = rng.uniform(-2, 2), rng.uniform(-2, 3)
    yield "light", polygon((23, 50), (41, 50), (38, 58), (32, 66 + flame), (26, 58))
    yield "dark", polygon((28, 50), (36, 50), (32, 59))
    yield "accent", polygon((22, 30), (8 - fin, 46), (8 - fin, 57), (23, 49))
    yield "accent", polygon((42, 30), (56 + fin, 46), (56 + fin, 57), (41, 49))
    hull = (32, -4), (40, 6), (44, 18), (44, 36), (41, 50), (23, 50), (20, 36), (20, 18), (24, 6)
    yield "body", polygon(*hull)
    yield "accent", polygon((32, -4), (40, 6), (42.5, 13), (21.5, 13), (24, 6))
    yield "dark", ellipse(32, 24, 8, 8)
    yield "light", ellipse(32, 24, 5.5, 5.5)
    yield "accent", limb([(32, 38), (32, 52)], 4.5)


def flower(rng: Rng) -> Forms:
    """A flower: six or seven round petals about a disc, on a stem with two leaves."""
    count, bend, turn = int(rng.integers(6, 8)), rng.uniform(-2, 2), rng.uniform(0, 2 * np.pi)
    angles = turn + np.arange(count) * 2 * np.pi / count
    yield "accent", limb([(32, 30), (31 + bend, 46), (32, 64)], 4.5)
    yield "accent", polygon((32, 58), (24, 55), (17, 46), (16, 41), (26, 45))
    yield "accent", polygon((32, 55), (40, 52), (47, 43), (48, 38), (38, 42))
    petals = (ellipse(32 + 13 * np.cos(a), 19 + 13 * np.sin(a), 9, 6.8, degrees=np.degrees(a)) for a in angles)
    yield "body", *petals
    yield "dark", ellipse(32, 19, 8.5, 8.5)
    yield "light", ellipse(32, 19, 6.5, 6.5)


_ALL = (airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck, bench, human, laptop, rocket, flower)
SHAPES: dict[str, Callable[[Rng], Forms]] = {draw.__name__: draw for draw in _ALL}


def shape(content: str, rng: Rng) -> list[Part]:
    """The parts of one drawing of `content` in a random small pose, fitted to fill most of the frame and centred in it.

    Raises ValueError on an unknown name.
    """
    if content not in SHAPES:
        raise ValueError(
            f"`content` must be one of {', '.join(SHAPES)}; got {content!r}. "
            "Draw it as a function of a generator and add it to `SHAPES`."
        )
    parts = [Part(role, outline) for role, *outlines in SHAPES[content](rng) for outline in outlines]
    flip = -1.0 if rng.random() < 0.5 else 1.0
    stretch = np.array([flip * rng.uniform(0.95, 1.05), rng.uniform(0.95, 1.05)])
    turn = rotation(rng.uniform(-5, 5))
    posed = [(part.points * stretch) @ turn.T for part in parts]
    corners = np.concatenate(posed)
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = 0.84 * FRAME * rng.uniform(0.94, 1.05) / (high - low).max()
    offset = FRAME / 2 - (low + high) / 2 * scale + rng.uniform(-1.5, 1.5, 2)
    return [Part(part.role, points * scale + offset) for part, points in zip(parts, posed, strict=True)]
