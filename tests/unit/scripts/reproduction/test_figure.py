"""The figure holds every number, and its legend hides none."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from scripts.reproduction.figure import Strip, draw_curves, draw_figure
from tests.unit.scripts.reproduction.synthetic import PUBLISHED, STEPS, published_results


def test_curves_are_drawn_on_their_axes(tmp_path: Path) -> None:
    figure = Figure(figsize=(8, 5))
    axis = draw_curves(figure, published_results(tmp_path))
    twin = next(other for other in figure.axes if other is not axis)
    for each, place, style in ((axis, 0, "-"), (twin, 1, "--")):
        curves = [drawn for drawn in each.lines if len(drawn.get_xdata()) == len(STEPS)]
        assert [tuple(drawn.get_xdata()) for drawn in curves] == [STEPS, STEPS]
        assert [drawn.get_linestyle() for drawn in curves] == [style, style]
        for method, drawn in zip(("image_adapter", "text_adapter"), curves, strict=True):
            assert drawn.get_ydata() == pytest.approx(PUBLISHED[method][place])
        stars = [drawn for drawn in each.lines if drawn.get_marker() == "*"]
        assert [drawn.get_ydata()[0] for drawn in stars] == pytest.approx(
            [PUBLISHED[method][place][0] for method in ("masking", "instantstyle", "ip_adapter")]
        )
        assert all(drawn.get_xdata()[0] < 0 for drawn in stars)  # beside step 0, not on the curves
        assert len(each.collections) >= 2  # the bands
    legend = figure.legends[0]
    figure.draw_without_rendering()
    assert legend.get_window_extent().y1 < axis.get_window_extent().y0
    words = {entry.get_text() for entry in legend.get_texts()}
    assert {"Image-Adapter (text alignment)", "Text-Adapter (image alignment)", "Masking", "IP-Adapter"} <= words


def test_panel_b_shows_each_picture_once_at_its_step(tmp_path: Path) -> None:
    def picture(value: int) -> Image.Image:
        return Image.new("RGB", (4, 4), (value, 0, 0))

    rows = {method: [(step, picture(step // 20)) for step in STEPS] for method in ("image_adapter", "text_adapter")}
    figure = draw_figure(published_results(tmp_path), Strip(picture(255), "A bench", rows))
    shown = [axis for axis in figure.axes if axis.images]
    values = [int(np.asarray(axis.images[0].get_array())[0, 0, 0]) for axis in shown]
    assert values == [255, *[step // 20 for step in STEPS] * 2]
    assert [axis.get_title() for axis in shown[1:8]] == [f"step {step}" for step in STEPS]
    assert [shown[place].get_ylabel() for place in (1, 8)] == ["Image-Adapter", "Text-Adapter"]
    assert shown[0].get_xlabel() == "Text prompt\n“A bench”"
    figure.savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().count("<image") == 15
