"""Outlines, painting and textures."""

import numpy as np
import pytest

from datamodules.miniature import canvas as painting
from datamodules.miniature.canvas import Canvas, Part, Stroke, box, ellipse, limb

PALETTE = painting.Palette(body=(1.0, 0.0, 0.0), accent=(0.0, 1.0, 0.0), light=(0.0, 0.0, 1.0), dark=(0.2, 0.2, 0.2))


def canvas(*parts: Part, size: int = 64) -> Canvas:
    return Canvas(list(parts), np.random.default_rng(0), size)


def area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        (box(1, 2, 11, 6), 40),
        (painting.polygon((0, 0), (10, 0), (0, 10)), 50),
        (ellipse(5, 5, 4, 2, degrees=30), 10 * np.sin(np.pi / 10) * 4 * 2),  # the inscribed 20-gon
        (limb([(0, 0), (10, 0)], 4), 10 * 4 + 2 * np.sqrt(2) * 2**2),  # octagonal ends
        (limb([(0, 0), (0, 10)], 4, 2), 30 + np.sqrt(2) * (4 + 1)),
    ],
)
def test_outlines_have_the_area_that_their_measures_say(outline: np.ndarray, expected: float) -> None:
    assert area(outline) == pytest.approx(expected)


def test_rotation_turns_clockwise_on_the_screen() -> None:
    np.testing.assert_allclose(painting.rotation(90) @ [1.0, 0.0], [0.0, 1.0], atol=1e-12)


def test_paint_fills_parts_with_their_role_and_leaves_the_rest_clear() -> None:
    art = canvas(Part("body", box(0, 0, 32, 64)), Part("light", box(0, 0, 32, 16)))
    colours, opacity = art.paint(PALETTE)
    assert colours[40, 10].tolist() == [1, 0, 0]
    assert colours[8, 10].tolist() == [0, 0, 1]
    assert (opacity[:, :32] == 1).all()
    assert (opacity[:, 34:] == 0).all()


def test_neighbours_of_one_role_share_an_outline_and_dark_details_get_a_thin_one() -> None:
    halves = Part("body", box(16, 16, 32, 48)), Part("body", box(32, 16, 48, 48))
    colours, opacity = canvas(*halves).paint(PALETTE, (0.0, 0.0, 0.0), 3.0)
    assert colours[32, 28:36].min(axis=0).tolist() == [1, 0, 0]
    assert opacity[32, 14, 0] == 1
    _, thin = canvas(Part("dark", box(16, 16, 48, 48))).paint(PALETTE, (0.0, 0.0, 0.0), 3.0)
    assert thin[32, 14, 0] == 0


def test_grounds_run_through_their_colours_and_layers_mix_with_them() -> None:
    art = canvas(size=5)
    art.fill((0.0, 0.0, 0.0), (1.0, 0.5, 0.0))
    np.testing.assert_allclose(art.image[:, 2, 0], [0, 0.25, 0.5, 0.75, 1])
    art.fill((0.0, 1.0, 0.0))
    half = np.full((5, 5, 1), 0.5)
    np.testing.assert_allclose(painting.over(art.image, (1.0, 1.0, 1.0), half)[3, 3], [0.5, 1, 0.5])
    art.lay((1.0, 1.0, 1.0), half)
    np.testing.assert_allclose(art.image[3, 3], [0.5, 1, 0.5])


def test_relief_is_lit_from_above_left() -> None:
    opacity = np.zeros((32, 32, 1), dtype=np.float32)
    opacity[8:24, 8:24] = 1
    light = painting.relief(opacity, 32 / 3)[..., 0]
    assert light[9, 9] > 0.3
    assert light[22, 22] == pytest.approx(-light[9, 9], abs=0.05)
    assert light[16, 16] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        ("disc", [(16, 16), (48, 48)], np.pi * 16**2),
        ("ring", [(16, 16), (48, 48)], np.pi * (16**2 - 12**2)),
        ("form", [(0, 0), (64, 0), (0, 64)], 64 * 64 / 2),
        ("line", [(32, -4), (32, 68)], 4 * 64),
    ],
)
def test_a_stencil_covers_the_area_of_its_strokes(
    kind: str, points: list[tuple[float, float]], expected: float
) -> None:
    assert canvas().stencil([Stroke(kind, points, 4)]).sum() == pytest.approx(expected, rel=0.05)


def test_clouds_are_smooth_and_coordinates_are_in_frame_units() -> None:
    noise = canvas().clouds(4)
    assert noise.shape == (64, 64, 1)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.1
    art = canvas(size=32)
    assert (art.x[0, 0, 0], art.x[0, -1, 0], art.y[-1, 0, 0]) == (1, 63, 63)
