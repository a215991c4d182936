"""What sets each style of the bench apart, measured on the pictures."""

import numpy as np
import pytest

from datamodules.miniature.bench_styles import BENCH_STYLES
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES

ALL_CONTENTS = (*CONTENTS, *PROMPT_CONTENTS)


def picture(content: str, style: str, seed: int = 0) -> np.ndarray:
    return np.asarray(draw(content, style, seed), dtype=np.float64) / 255


def saturation(pixels: np.ndarray) -> np.ndarray:
    high = pixels.max(axis=-1)
    return (high - pixels.min(axis=-1)) / np.maximum(high, 1e-6)


def test_training_never_sees_the_styles_of_the_bench() -> None:
    assert not {*BENCH_STYLES, "plain"} & {*TRAIN_STYLES, *TEST_STYLES}


def test_stained_glass_is_deep_colour_between_black_lead() -> None:
    pixels = picture("ship", "stained glass")
    assert (pixels.max(axis=-1) < 0.15).mean() > 0.1
    assert (saturation(pixels) > 0.7).mean() > 0.4


def test_a_blueprint_is_blue_everywhere_but_on_its_lines() -> None:
    pixels = picture("truck", "blueprint")
    assert (pixels[..., 2] >= pixels[..., 0]).all()
    assert ((saturation(pixels) > 0.6) & (pixels[..., 2] > 0.5)).mean() > 0.6


def test_a_mosaic_is_one_colour_within_a_stone_with_mortar_between() -> None:
    stones = picture("cat", "mosaic").reshape(16, 4, 16, 4, 3)[:, 1:, :, 1:]
    np.testing.assert_array_equal(stones, np.broadcast_to(stones[:, :1, :, :1], stones.shape))
    assert len(np.unique(stones[:, 0, :, 0].reshape(-1, 3), axis=0)) > 100


def test_a_chalkboard_is_dark_green_with_a_few_bright_lines() -> None:
    pixels = picture("laptop", "chalkboard")
    dark = pixels.max(axis=-1) < 0.5
    assert 0.6 < dark.mean() < 0.97
    assert (pixels[dark].argmax(axis=-1) == 1).mean() > 0.95


def test_a_woodcut_is_ink_and_paper_with_little_between() -> None:
    grey = picture("dog", "woodcut").mean(axis=-1)
    assert ((grey < 0.2) | (grey > 0.7)).mean() > 0.7
    assert min((grey < 0.2).mean(), (grey > 0.7).mean()) > 0.15


def test_paper_sheets_are_light_and_their_shadows_fall_to_one_side() -> None:
    pixels = np.stack([picture(content, "paper cut", 3) for content in ALL_CONTENTS])
    assert np.median(pixels.max(axis=-1)) > 0.8
    assert (pixels[:, 0].max(axis=-1) > 0.75).all()  # none is carried over the edge to the other side


@pytest.mark.parametrize("content", ALL_CONTENTS)
def test_a_plain_drawing_is_grey_on_white(content: str) -> None:
    pixels = picture(content, "plain")
    assert saturation(pixels).max() == 0
    assert (pixels[[0, -1]] == 1).all()
    assert 0.15 < (pixels < 1).all(axis=-1).mean() < 0.75
    assert (pixels < 0.2).any()
