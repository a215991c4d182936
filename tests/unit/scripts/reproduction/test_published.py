"""The published numbers beside the measured ones."""

import re
from pathlib import Path

from scripts.reproduction.published import comparison, draw_comparison
from scripts.reproduction.results import IMAGE, TEXT
from tests.unit.scripts.reproduction.synthetic import published_results


def test_each_number_says_whose_it_is(tmp_path: Path) -> None:
    results = published_results(tmp_path)
    html = comparison(results)
    for row, value in (("Image-Adapter, published", "0.234"), ("Text-Adapter, published", "0.409")):
        assert re.search(rf'<th scope="row">{row}</th>.*{value}', html)
    measured = results.curves["text_adapter"][1].scores[IMAGE].mean
    assert re.search(rf'<th scope="row">Text-Adapter, here</th>.*{measured:.3f}', html)
    assert f"{results.tuning_free['masking'].scores[TEXT].mean:.3f}" in html
    assert "0.237" in html
    assert "Two models, two judges" in html


def test_steps_are_matched_by_their_place_in_the_training(tmp_path: Path) -> None:
    results = published_results(tmp_path)
    steps = [each.step for each in results.curves["image_adapter"]]
    html = comparison(results)
    assert f'<th scope="col">0 / {steps[0]}</th>' in html
    assert f'<th scope="col">2400 / {steps[-1]}</th>' in html


def test_published_and_measured_curves_have_axes_of_their_own(tmp_path: Path) -> None:
    results = published_results(tmp_path)
    figure = draw_comparison(results)
    assert len(figure.axes) == 4
    published, measured = figure.axes[0].lines[0], figure.axes[1].lines[0]
    assert published.get_ydata()[2] == 0.251
    assert measured.get_ydata()[0] == results.curves["image_adapter"][0].scores[TEXT].mean
    assert "Published" in figure.axes[0].get_title()
