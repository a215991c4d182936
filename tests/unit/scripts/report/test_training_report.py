"""Figure, summary and page of the training curves hold every number, and the page opens without a network."""

import json
import re
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from scripts.report.tables import IMAGE, TEXT
from scripts.report.training import TUNING_FREE, findings
from scripts.report.training_figure import draw_comparison, draw_curves, draw_figure
from scripts.report.training_report import component, read_runs, read_strip, write_report
from tests.unit.scripts.html_structure import Structure
from tests.unit.scripts.report.scored_folder import PLANS, write_scored_folder
from tests.unit.scripts.report.training_runs import CURVES, STEPS, published, training, write_grids, write_runs

SETTINGS = {"variant": "quick", "seed": 42, "data root": None}


class _Set(list[int]):
    skipped = ("broken.png",)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole report."""
    folder = tmp_path_factory.mktemp("reproduction")
    runs = write_runs(folder / "runs")
    write_grids(runs, read_runs(runs).scored)
    scores = write_scored_folder(folder / "runs" / "sweep" / "scores", PLANS[:3], pictures=False)
    datamodule: Any = SimpleNamespace(prepare_data=lambda: None, train_set=_Set(range(3)), test_set=_Set(range(2)))
    commands = {"Masking, evaluation": "maskst validate --data.prompts='[A & B]'"}
    facts = {"seconds": {"Masking, evaluation": 187.0}, "commands": commands}
    assert write_report(runs, scores, datamodule, SETTINGS, **facts) == folder / "report.html"
    with Image.open(folder / "figure.png") as figure:
        assert figure.width > 2 * figure.height
    assert (folder / "figure.svg").read_text().count("<image") == 15
    return folder


def test_curves_are_drawn_on_their_axes(tmp_path: Path) -> None:
    figure = Figure(figsize=(8, 5))
    axis = draw_curves(figure, training(tmp_path))
    twin = next(other for other in figure.axes if other is not axis)
    for each, place, style in ((axis, 0, "-"), (twin, 1, "--")):
        curves = [drawn for drawn in each.lines if len(drawn.get_xdata()) == len(STEPS)]
        assert [tuple(drawn.get_xdata()) for drawn in curves] == [STEPS, STEPS]
        assert [drawn.get_linestyle() for drawn in curves] == [style, style]
        for method, drawn in zip(("image_adapter", "text_adapter"), curves, strict=True):
            assert drawn.get_ydata() == pytest.approx(CURVES[method][place])
        stars = [drawn for drawn in each.lines if drawn.get_marker() == "*" and len(drawn.get_xdata())]
        assert [drawn.get_ydata()[0] for drawn in stars] == pytest.approx(
            [CURVES[method][place][0] for method in ("masking", "instantstyle", "ip_adapter")]
        )
        assert all(drawn.get_xdata()[0] < 0 for drawn in stars)  # beside step 0, not on the curves
        assert len(each.collections) >= 2  # the bands
    legend = figure.legends[0]
    figure.draw_without_rendering()
    assert legend.get_window_extent().y1 < axis.get_window_extent().y0
    names = "Image-Adapter ({})", "Text-Adapter ({})", "no training, {}"
    columns = [[name.format(score) for name in names] for score in ("text alignment", "image alignment")]
    assert [text.get_text() for text in legend.get_texts()] == [
        *chain(*columns),
        "Masking",
        "InstantStyle",
        "IP-Adapter",
    ]


def test_panel_b_shows_the_reference_that_ip_adapter_leaks_most_at_each_step(tmp_path: Path) -> None:
    values = published()
    values["ip_adapter", 0] = {**values["ip_adapter", 0], "leaked": [0.0, 0.5, 0.5, 0.0, 1.0, 0.0]}
    runs = write_runs(tmp_path, values)
    found = read_runs(runs)
    write_grids(runs, found.scored)  # of four of the references
    strip = read_strip(found, runs)
    assert (strip.references, strip.leak_rate) == (4, 0.5)
    assert strip.reference.getpixel((64, 64)) == (255, 1, 0)
    assert [(step, picture.getpixel((64, 64))) for step, picture in strip.results["text_adapter"]] == [
        (step, (step // 20, 1, 0)) for step in STEPS
    ]
    figure = draw_figure(found, strip)
    shown = [axis for axis in figure.axes if axis.images]
    values_shown = [int(np.asarray(axis.images[0].get_array())[0, 0, 0]) for axis in shown]
    assert values_shown == [255, *[step // 20 for step in STEPS] * 2]
    assert [axis.get_title() for axis in shown[1:8]] == [f"step {step}" for step in STEPS]
    assert [shown[place].get_ylabel() for place in (1, 8)] == ["Image-Adapter", "Text-Adapter"]
    assert shown[0].get_xlabel() == "Text prompt\n“A rocket”"


def test_published_and_measured_curves_have_axes_of_their_own(tmp_path: Path) -> None:
    found = training(tmp_path)
    figure = draw_comparison(found)
    assert len(figure.axes) == 4
    published_line, measured = figure.axes[0].lines[0], figure.axes[1].lines[0]
    assert published_line.get_ydata()[2] == 0.251
    assert measured.get_ydata()[0] == found.estimate(found.curves["image_adapter"][0], TEXT).mean
    assert "Published" in figure.axes[0].get_title()


def test_the_page_is_well_formed_and_says_what_is_seen_under_which_conditions(output: Path) -> None:
    page = (output / "report.html").read_text(encoding="utf-8")
    structure = Structure(page)
    assert structure.open == []
    assert all(address.startswith(("data:image/", "#")) for address in structure.addresses)
    contents = [address for address in structure.addresses if address.startswith("#")]
    assert contents[:4] == ["#curves", "#published", "#trade-off", "#scores"]
    assert contents[-2:] == ["#grids", "#run"]
    assert "http" not in re.sub(r'"data:image/[^"]*"', "", page)
    assert page.count("data:image/jpeg") == 3 + 2 * len(STEPS)  # the grids
    words = " ".join(structure.words).replace("\u00a0", " ")
    found = findings(read_runs({method: output / "runs" / method for method in CURVES}))
    for each in chain(*found.values()):
        assert each.sentence in words
    for expected in (
        *("Training curves, style and leakage", "Of 7 published readings 7 are seen here"),
        *("These are results of the miniature", "This is the quick variant", "Step 0 is the untrained adapter"),
        "with this objective: this project's BoundedContrast, not the published objective (weight 10.0)",
        *("scored by the judge “a judge”", "6 style references, 2 each", "Of the 4 references whose pictures are kept"),
        *("train 3 (skipped 1), test 2 (skipped 1)", "2400 steps of 12 references, evaluated every 400 steps"),
        *("maskst validate --data.prompts='[A & B]'", "3:07", "Text-Adapter at step 400"),
        "Two models, two judges",
    ):
        assert expected in words, expected


def test_published_numbers_stand_beside_the_measured_ones(output: Path) -> None:
    page = (output / "report.html").read_text(encoding="utf-8")
    names = "Image-Adapter, published", "Text-Adapter, here", "Masking"
    there, here, masking = (re.findall(rf'<th scope="row">{name}</th>(.*?)</tr>', page, re.DOTALL) for name in names)
    assert "0.234" in there[0] and "0.488" in here[1] and any("0.237" in row for row in masking)
    assert '<th scope="col">2400 / 2400</th>' in page


def test_summary_holds_all_numbers(output: Path) -> None:
    values = json.loads((output / "summary.json").read_text())
    found = [(each["method"], each["step"]) for each in values["evaluations"]]
    assert found == [(method, 0) for method in TUNING_FREE] + [
        (method, step) for method in ("image_adapter", "text_adapter") for step in STEPS
    ]
    peak = values["evaluations"][found.index(("text_adapter", 800))]
    assert peak["scores"][TEXT]["mean"] == pytest.approx(0.251)
    assert peak["scores"][TEXT]["low"] < 0.251 < peak["scores"][TEXT]["high"]
    assert len(peak["scores"][IMAGE]["by_reference"]) == len(values["references"]) == 6
    assert (peak["images"], peak["settings"]["sampling"]["steps"]) == (12, 20)
    first = values["findings"]["tuning_free"][0]
    assert first["mean"] == pytest.approx(0.017)
    assert (first["verdict"], first["agreement"], first["references"]) == ("higher", "seen", 6)
    assert values["seconds"] == {"Masking, evaluation": 187.0}
    assert {"torch", "lightning"} < set(values["versions"])
    assert (values["is_quick"], values["is_miniature"], values["folder"]) == (True, True, SETTINGS)
    assert values["about"]["sampling"] == "scheduler UniPCMultistepScheduler, steps 20"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("a.PublishedObjective", {"w": 1.0}, "the published objective PublishedObjective, unbounded below (w 1.0)"),
        ("BoundedContrast", None, "this project's BoundedContrast, not the published objective"),
        ("torch.optim.AdamW", {"lr": 0.1, "weight_decay": 0.0}, "AdamW (lr 0.1, weight decay 0.0)"),
    ],
)
def test_components_in_words(name: str, arguments: dict[str, float] | None, words: str) -> None:
    assert component({"class_path": name, "init_args": arguments}) == words
