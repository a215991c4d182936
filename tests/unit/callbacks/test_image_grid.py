"""ImageGrid: the right picture in the right place, on disk and in TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lightning import Trainer
from PIL import Image, ImageFont
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.image_grid import ImageGrid, Row, draw_grid, fit, merge_rows, shorten
from tests.unit.callbacks.colours import Colours, JobData, colour_of, make_jobs


def colour(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, (seed, 255 - seed, 7))


def test_grid_of_an_evaluation(make_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    jobs = make_jobs(references=5, samples=2)
    make_trainer(ImageGrid(references=3, cell=32)).validate(Colours(), JobData(jobs), verbose=False)
    grid = Image.open(tmp_path / "log" / "grids" / "step_000000.png")
    assert grid.size == (4 + 3 * 36, 40 + 3 * 36)
    for row in range(3):
        assert grid.getpixel((4 + 16, 40 + 36 * row + 16)) == (40 * row, 10, 200)  # the reference
        for column, prompt in enumerate(["A bench", "A rocket"]):
            job = next(j for j in jobs if j.reference.index == row and j.prompt == prompt)
            expected = tuple((colour_of(job)[:, 0, 0] * 255).round().int().tolist())
            assert grid.getpixel((40 + 36 * column + 16, 40 + 36 * row + 16)) == expected
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    [shown] = events.Images("grid")
    assert (shown.step, shown.width, shown.height) == (0, *grid.size)
    with pytest.raises(ValueError, match="`references` and `cell` must be at least 1, got 0 and 128: leave"):
        ImageGrid(references=0)


def test_words_are_drawn_above_the_pictures() -> None:
    rows = [Row(fit(colour(1), 64), {"A bench": fit(colour(2), 64)}), Row(fit(colour(1), 64), {})]
    one = np.asarray(draw_grid(rows, "masking, step 400", cell=64))
    other = np.asarray(draw_grid(rows, "masking, step 800", cell=64))
    assert (one[:18] != other[:18]).any()  # the title
    assert (one[18:] == other[18:]).all()
    assert (one[18:36, 4:68] < 128).any()  # "reference"
    assert (one[18:36, 72:136] < 128).any()  # "A bench"
    assert (one[-64:, 72:136] == 255).all()  # a missing result stays white


def test_small_pictures_are_enlarged_by_repeating_pixels_and_other_proportions_centred_on_white() -> None:
    pattern = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8))
    expected = np.asarray(pattern).repeat(8, axis=0).repeat(8, axis=1)
    assert (np.asarray(fit(pattern, 32)) == expected).all()
    fitted = fit(colour(9, (16, 8)), 32)
    assert [fitted.getpixel((16, y)) for y in (3, 16)] == [(255, 255, 255), (9, 246, 7)]
    assert fit(colour(9, (500, 300)), 32).size == (32, 32)


def test_rows_of_several_ranks_are_one_grid_in_the_evaluations_order() -> None:
    first = {7: Row(colour(1), {"a": colour(2)}), 3: Row(colour(3), {"a": colour(4)})}
    second = {3: Row(colour(3), {"b": colour(5)}), 1: Row(colour(6), {"b": colour(7)})}
    rows = merge_rows([first, second], count=2)
    assert [row.reference for row in rows] == [first[7].reference, first[3].reference]
    assert list(rows[1].results) == ["a", "b"]
    assert len(merge_rows([first, second], count=9)) == 3


def test_long_labels_end_in_dots() -> None:
    font = ImageFont.load_default(13)
    label = shorten("An ancient temple surrounded by lush vegetation", 100, font)
    assert label.endswith("...")
    assert font.getlength(label) <= 100
    assert shorten("A bench", 100, font) == "A bench"
