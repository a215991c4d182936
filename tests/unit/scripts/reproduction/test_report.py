"""The report is one file, opens without a network, and holds every number."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from callbacks.scoring.scored import Scored
from scripts.report.page import render as render_page
from scripts.report.tables import tables_of
from scripts.reproduction.findings import find
from scripts.reproduction.report import TITLE, Facts, closing, opening
from scripts.reproduction.summary import summary
from tests.unit.scripts.html_structure import Structure
from tests.unit.scripts.report.scored_folder import write_scored_folder
from tests.unit.scripts.reproduction.synthetic import STEPS, published_results


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    results = published_results(tmp_path)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "step_000000.png")
    (tmp_path / "figure.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return Facts(
        results=results,
        findings=find(results),
        about={"objective": "BoundedContrast (weight 10.0)", "references": "<script>alert(1)</script>"},
        is_miniature=True,
        is_quick=False,
        figure=tmp_path / "figure.svg",
        strip_choice="The reference was chosen by nobody.",
        grids={"masking": [(0, tmp_path / "step_000000.png")], "text_adapter": [(400, tmp_path / "step_000000.png")]},
        seconds={"dataset": 187.0},
        commands={"dataset": "maskst fit --data.prompts='[A & B]'"},
        versions={"torch": "2.13.0"},
    )


def render(facts: Facts) -> str:
    """The sections alone."""
    return "".join(section.body for section in [*opening(facts), *closing(facts)])


def test_the_page_is_well_formed_and_self_contained(facts: Facts, tmp_path: Path) -> None:
    scored = Scored.read(write_scored_folder(tmp_path / "scores"))
    page = render_page(scored, tables_of(scored, scored.judges[0]), opening(facts), closing(facts), TITLE)
    structure = Structure(page)
    assert structure.open == []
    assert all(address.startswith(("data:image/", "#")) for address in structure.addresses)
    contents = [address for address in structure.addresses if address.startswith("#")]
    assert contents[:3] == ["#curves", "#published", "#trade-off"]
    assert contents[-2:] == ["#grids", "#run"]
    assert f"<title>{TITLE}</title>" in page
    without_data = re.sub(r'"data:image/[^"]*"', "", page)
    assert "http" not in without_data
    assert "<script>alert" not in without_data


def test_report_says_what_is_seen_under_which_conditions(facts: Facts) -> None:
    structure = Structure(render(facts))
    words = " ".join(structure.words)
    for each in [*facts.findings.tuning_free, *facts.findings.curves, *facts.findings.tuned]:
        assert each.sentence in words
    assert facts.findings.headline in words
    for expected in (
        "These are results of the miniature",
        "with this objective: BoundedContrast (weight 10.0)",
        "scored by the judge “a judge”",
        "Step 0 is the untrained adapter",
        "4 style references, 5 each",
        "The reference was chosen by nobody.",
        "<script>alert(1)</script>",
        "maskst fit --data.prompts='[A & B]'",
        "3:07",
        "Text-Adapter, step 400",
    ):
        assert expected in words, expected
    assert "quick variant" not in words
    assert "quick variant" in render(facts._replace(is_quick=True))
    assert "results of the miniature" not in render(facts._replace(is_miniature=False))


def test_summary_holds_all_numbers(facts: Facts) -> None:
    values = json.loads(json.dumps(summary(facts)))
    assert len(values["evaluations"]) == 3 + 2 * len(STEPS)
    peak = next(each for each in values["evaluations"] if (each["method"], each["step"]) == ("text_adapter", 800))
    assert peak["scores"]["alignment/text"]["mean"] == pytest.approx(0.251)
    assert peak["scores"]["alignment/text"]["low"] == pytest.approx(0.241)
    assert len(peak["scores"]["alignment/text"]["by_reference"]) == 4
    assert (peak["images"], peak["settings"]["sampling"]["steps"]) == (20, 20)
    first = values["findings"]["tuning_free"][0]
    assert first["mean"] == pytest.approx(0.017)
    assert (first["verdict"], first["agreement"], first["references"]) == ("higher", "seen", 4)
    assert (values["seconds"], values["versions"]) == ({"dataset": 187.0}, {"torch": "2.13.0"})
