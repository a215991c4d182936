"""Painting and textures."""

import numpy as np
import pytest

from datamodules.miniature import canvas
from datamodules.miniature.geometry import box

PALETTE = canvas.Palette(body=(1.0, 0.0, 0.0), accent=(0.0, 1.0, 0.0), light=(0.0, 0.0, 1.0), dark=(0.2, 0.2, 0.2))


def test_paint_fills_parts_with_their_role_and_leaves_the_rest_clear():
    colours, opacity = canvas.paint([box("body", 0, 0, 32, 64), box("light", 0, 0, 32, 16)], PALETTE, 64)
    assert colours[40, 10].tolist() == [1, 0, 0]
    assert colours[8, 10].tolist() == [0, 0, 1]
    assert (opacity[:, :32] == 1).all()
    assert (opacity[:, 34:] == 0).all()


def test_neighbours_of_one_role_share_an_outline_and_dark_details_get_a_thin_one():
    halves = [box("body", 16, 16, 32, 48), box("body", 32, 16, 48, 48)]
    colours, opacity = canvas.paint(halves, PALETTE, 64, (0.0, 0.0, 0.0), 3.0)
    assert colours[32, 28:36].min(axis=0).tolist() == [1, 0, 0]
    assert opacity[32, 14, 0] == 1
    _, thin = canvas.paint([box("dark", 16, 16, 48, 48)], PALETTE, 64, (0.0, 0.0, 0.0), 3.0)
    assert thin[32, 14, 0] == 0


def test_gradient_flat_and_over_interpolate():
    picture = canvas.gradient([(0.0, 0.0, 0.0), (1.0, 0.5, 0.0)], 5)
    np.testing.assert_allclose(picture[:, 2, 0], [0, 0.25, 0.5, 0.75, 1])
    half = canvas.over(canvas.flat((0.0, 1.0, 0.0), 5), (1.0, 1.0, 1.0), np.full((5, 5, 1), 0.5))
    np.testing.assert_allclose(half[3, 3], [0.5, 1, 0.5])


def test_relief_is_lit_from_above_left():
    opacity = np.zeros((32, 32, 1), dtype=np.float32)
    opacity[8:24, 8:24] = 1
    light = canvas.relief(opacity)[..., 0]
    assert light[9, 9] > 0.3
    assert light[22, 22] == pytest.approx(-light[9, 9], abs=0.05)
    assert light[16, 16] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        ("disc", [(16.0, 16.0), (48.0, 48.0)], np.pi * 16**2),
        ("ring", [(16.0, 16.0), (48.0, 48.0)], np.pi * (16**2 - 12**2)),
        ("form", [(0.0, 0.0), (64.0, 0.0), (0.0, 64.0)], 64 * 64 / 2),
        ("line", [(32.0, -4.0), (32.0, 68.0)], 4 * 64),
    ],
)
def test_stencil_covers_the_area_of_its_strokes(kind, points, expected):
    assert canvas.stencil(64, [(kind, points, 4.0)]).sum() == pytest.approx(expected, rel=0.05)


def test_clouds_are_smooth_and_grid_is_in_frame_units():
    noise = canvas.clouds(np.random.default_rng(0), 64, 4)
    assert noise.shape == (64, 64, 1)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.1
    x, y = canvas.grid(32)
    assert (x[0, 0, 0], x[0, -1, 0], y[-1, 0, 0]) == (1, 63, 63)
