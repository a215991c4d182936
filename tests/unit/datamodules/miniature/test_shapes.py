"""The silhouettes of the fifteen contents."""

import numpy as np
import pytest

from datamodules.miniature.canvas import Palette, paint
from datamodules.miniature.geometry import FRAME, box, ellipse, limb, rotation
from datamodules.miniature.shapes import SHAPES, shape
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS

WHITE = Palette(*[(1.0, 1.0, 1.0)] * 4)


def silhouette(content: str, seed: int) -> np.ndarray:
    parts = shape(content, np.random.default_rng(seed))
    return paint(parts, WHITE, 32)[1][..., 0]


def test_every_named_content_can_be_drawn():
    assert sorted(SHAPES) == sorted([*CONTENTS, *PROMPT_CONTENTS])


@pytest.mark.parametrize("content", SHAPES)
def test_the_object_is_large_and_central(content):
    for seed in range(5):
        points = np.concatenate([part.points for part in shape(content, np.random.default_rng(seed))])
        low, high = points.min(axis=0), points.max(axis=0)
        assert 0.78 * FRAME < (high - low).max() < 0.89 * FRAME
        assert np.abs((low + high) / 2 - FRAME / 2).max() <= 1.5


def test_silhouettes_tell_all_contents_apart():
    known = np.array([[silhouette(content, seed) for seed in range(10)] for content in SHAPES])
    for index, content in enumerate(SHAPES):
        for seed in (100, 101):
            distances = ((known - silhouette(content, seed)) ** 2).sum(axis=(2, 3)).min(axis=1)
            assert distances.argmin() == index


def test_both_directions_occur():
    facing = {
        float(np.sign(silhouette("airplane", seed)[:, :16].sum() - silhouette("airplane", seed)[:, 16:].sum()))
        for seed in range(12)
    }
    assert facing == {-1.0, 1.0}


def test_an_unknown_content_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"`content` must be one of airplane, .*; got 'teapot'.*add it to `SHAPES`"):
        shape("teapot", np.random.default_rng(0))


def test_rotation_turns_clockwise_on_the_screen():
    np.testing.assert_allclose(rotation(90) @ [1.0, 0.0], [0.0, 1.0], atol=1e-12)


def area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def test_parts_have_the_area_that_their_measures_say():
    assert area(box("body", 1, 2, 11, 6).points) == 40
    turned = ellipse("body", 5, 5, 4, 2, degrees=30).points
    assert area(turned) == pytest.approx(10 * np.sin(np.pi / 10) * 4 * 2)  # the inscribed 20-gon
    octagonal_ends = 2 * np.sqrt(2) * 2**2
    assert area(limb("body", [(0, 0), (10, 0)], 4).points) == pytest.approx(10 * 4 + octagonal_ends)
    assert area(limb("body", [(0, 0), (0, 10)], 4, 2).points) == pytest.approx(30 + np.sqrt(2) * (4 + 1))
