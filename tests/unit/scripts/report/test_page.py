"""The report: all parts, self-contained and well-formed."""

import json
import re
from html import unescape
from pathlib import Path

import pytest

from callbacks.scoring.scored import Scored
from scripts.report import page
from tests.unit.scripts.html_structure import Structure
from tests.unit.scripts.report.scored_folder import Plan, write_scored_folder

PLANS = (
    *(Plan("ip_adapter", {"sampling.scale": scale}, scale) for scale in (1.0, 0.5)),
    Plan("masking", {}, 0.4, 0.3),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_scored_folder(tmp_path_factory.mktemp("scores"), PLANS)
    profile = {"reference": "a", "reference_path": "gone.png", "content": "dog", "settings": {}}
    (folder / "masks.json").write_text(json.dumps([{**profile, "products": [[0.1, 0.5]], "thresholds": [0.1]}]))
    return folder


def test_the_page_has_all_parts_and_needs_nothing_else(folder: Path) -> None:
    path = page.write(Scored.read(folder))
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    parser = Structure(text)
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert all(link.startswith("data:") or link.removeprefix("#") in parser.ids for link in parser.addresses)
    assert [link[1:] for link in parser.addresses if link.startswith("#")] == [
        "trade-off",
        "scores",
        "pictures",
        "masks",
        "making",
    ]
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "$" not in re.sub(r"base64,[^\"]+", "", text)


def test_the_page_tells_its_counts_judges_and_failures(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8") if (folder / "report.html").exists() else ""
    text = text or page.write(Scored.read(folder)).read_text(encoding="utf-8")
    assert "<dt>pictures</dt><dd>72</dd>" in text and "<dt>settings</dt><dd>3</dd>" in text
    assert "“miniature” and “miniature classifier”" in text
    assert "1 picture left out" in text and "elsewhere/broken.png: image file is truncated" in text
    assert "Masking, which the others are compared with" in text
    assert "1 of 2 elements are dropped" in text


def test_the_page_tells_which_texts_a_judge_cut(folder: Path) -> None:
    scored = Scored.read(folder)
    assert "longer than a judge reads" not in page.render(scored, [], {})
    scored.about["cut_texts"] = {"miniature": {"a very long text": 78}}
    text = page.render(scored, [], {})
    assert "1 text longer than a judge reads" in text and "miniature: 'a very long text' (78 tokens)" in unescape(text)


def test_many_failures_are_listed_in_part(folder: Path) -> None:
    scored = Scored.read(folder)
    scored.failures = {f"{number}.png": "is <gone>" for number in range(203)}
    text = page.render(scored, [], {})
    assert "203 pictures left out" in text and "and 3 more, which are listed in scores.json" in text
    assert "199.png: is &lt;gone&gt;" in text and "200.png" not in text


def test_without_several_settings_there_is_no_trade_off(tmp_path: Path) -> None:
    text = page.write(Scored.read(write_scored_folder(tmp_path, PLANS[1:]))).read_text(encoding="utf-8")
    assert 'id="trade-off"' not in text and 'id="masks"' not in text
    assert 'id="scores"' in text and 'id="pictures"' in text
