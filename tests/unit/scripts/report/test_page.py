"""The report: all parts, self-contained and well-formed; the worst leaks and the best pictures."""

import base64
import io
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callbacks.scoring.scored import Group, Scored
from scripts.report import page
from scripts.report.cells import TEMPLATES
from scripts.report.page import LONGEST, Cases, clip_judge, find_cases, shown_groups, thumbnail
from tests.unit.scripts.html_structure import Structure
from tests.unit.scripts.report.scored_folder import CLIP, PLANS, Plan, write_scored_folder

SOME = (
    *(Plan("ip_adapter", {"sampling.scale": scale}, scale) for scale in (0.9, 0.5)),
    Plan("masking", {}, 0.4, 0.3),
)


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    folder = write_scored_folder(tmp_path_factory.mktemp("scores"), SOME)
    profile = {"reference": "a", "reference_path": "gone.png", "content": "dog", "settings": {}}
    (folder / "masks.json").write_text(json.dumps([{**profile, "products": [[0.1, 0.5]], "thresholds": [0.1]}]))
    return Scored.read(folder)


def test_the_page_has_all_parts_and_needs_nothing_else(some: Scored) -> None:
    path = page.write(some)
    assert path == some.folder / "report.html"
    text = path.read_text(encoding="utf-8")
    parser = Structure(text)
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert all(link.startswith("data:") or link.removeprefix("#") in parser.ids for link in parser.addresses)
    contents = [link[1:] for link in parser.addresses if link.startswith("#")]
    assert contents == ["trade-off", "scores", "pictures", "masks", "making"]
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "$" not in re.sub(r"base64,[^\"]+", "", text)
    for expected in (
        *("<dt>pictures</dt><dd>72</dd>", "<dt>settings</dt><dd>3</dd>", "“miniature” and “miniature classifier”"),
        *("1 picture left out", "elsewhere/broken.png: image file is truncated", "1 of 2 elements are dropped"),
        "Masking, which the others are compared with",
    ):
        assert expected in text


def test_the_page_tells_which_texts_a_judge_cut_and_lists_many_failures_in_part(some: Scored) -> None:
    assert "longer than a judge reads" not in page.render(some, [], [])
    other = Scored.read(some.folder)
    other.about["cut_texts"] = {"miniature": {"a very long text": 78}}
    other.failures = {f"{number}.png": "is <gone>" for number in range(203)}
    text = page.render(other, [], [])
    assert "1 text longer than a judge reads" in text and "miniature: 'a very long text' (78 tokens)" in unescape(text)
    assert "203 pictures left out" in text and "and 3 more, which are listed in scores.json" in text
    assert "199.png: is &lt;gone&gt;" in text and "200.png" not in text


def test_the_page_names_the_pictures_of_which_more_than_half_is_masked(some: Scored, tmp_path: Path) -> None:
    assert page.mostly_masked(some) == [] and "more than half is masked" not in page.render(some, [], [])
    plans = (Plan("masking", {}, 0.4, 0.87), *SOME[:1])
    scored = Scored.read(write_scored_folder(tmp_path, plans, samples=1, pictures=False))
    told = page.mostly_masked(scored)
    assert len(told) == 12 and "dog-line-art by the word 'dog', 87 %: A bench, Masking" in told
    text = unescape(page.render(scored, [], []))
    assert "12 pictures drawn from a feature of which more than half is masked" in text and told[0] in text


def test_without_several_settings_there_is_no_trade_off(tmp_path: Path) -> None:
    text = page.write(Scored.read(write_scored_folder(tmp_path, SOME[1:]))).read_text(encoding="utf-8")
    assert 'id="trade-off"' not in text and 'id="masks"' not in text
    assert 'id="scores"' in text and 'id="pictures"' in text


def test_cases_are_the_worst_leaks_and_the_best_pictures_that_follow_their_prompt(some: Scored) -> None:
    assert clip_judge(some) == CLIP
    leaking, _, masking = find_cases(some, CLIP, most=2)
    excess = {row["path"]: row["alignment/content"] - row["alignment/text"] for row in rows_of(some, leaking.group)}
    assert leaking.leaks[0]["path"] == max(excess, key=lambda path: excess[path])
    assert excess[leaking.leaks[0]["path"]] >= excess[leaking.leaks[1]["path"]] > 0
    rows = rows_of(some, masking.group)
    middle = np.median([row["alignment/text"] for row in rows])
    good = [row for row in rows if not row["leakage/leaked"] and row["alignment/text"] >= middle]
    assert masking.best[0]["path"] == max(good, key=lambda row: row["alignment/image"])["path"]
    assert {row["path"] for row in masking.best} <= {row["path"] for row in good}
    assert len({row["reference"] for row in masking.best}) == len(masking.best) == 2


def rows_of(scored: Scored, group: Group) -> list[dict[str, Any]]:
    place = group.method, group.setting, CLIP
    return [row for row in scored.rows if (row["method"], row["setting"], row["judge"]) == place]


def test_of_a_sweep_two_means_and_the_strongest_settings_are_shown() -> None:
    groups = [Group(plan.method, plan.setting, plan.varied, 1, {}) for plan in PLANS]
    found = [(group.method, group.setting) for group in shown_groups(groups)]
    assert found == [
        *(("ip_adapter", "scale 1.0"), ("instantstyle", "strength 1.0, scale 1.0"), ("masking", "")),
        *(("quantile_masking", f"theta 0.7, drop {drop}") for drop in ("high", "low")),
    ]
    assert shown_groups(groups[:8]) == groups[:8]


def test_cases_show_pictures_beside_their_references_with_escaped_words_and_tiles_for_lost_ones(some: Scored) -> None:
    def shown(cases: Cases) -> tuple[str, set[str]]:
        missing: set[str] = set()
        return TEMPLATES.get_template("parts.html.j2").module.cases(cases, missing), missing

    [found, *_] = find_cases(some, CLIP, most=1)
    text, missing = shown(found._replace(leaks=[{**found.leaks[0], "prompt": "<b>&"}], best=[]))
    assert text.count("data:image/png;base64,") == 2
    assert "&lt;b&gt;&amp;" in text and "<b>&" not in text.replace("<b>&lt;b&gt;&amp;", "")
    assert "No picture is both." in text and not missing
    lost = {**found.leaks[0], "path": "gone/lost & found.png"}
    text, missing = shown(found._replace(leaks=[lost, lost]))
    assert text.count("tile missing") == 2 and ">lost &amp; found.png<" in text
    assert missing == {"gone/lost & found.png"}


def test_small_pictures_are_kept_pixel_by_pixel_and_large_ones_scaled(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for picture, kept, size in (
        (Image.fromarray(pixels), True, (64, 64)),
        (Image.new("RGB", (600, 300), "red"), False, (LONGEST, LONGEST // 2)),
    ):
        picture.save(tmp_path / "picture.png")
        found = thumbnail(str(tmp_path / "picture.png"))
        assert found and found.is_small == kept
        decoded = Image.open(io.BytesIO(base64.b64decode(found.source.partition("base64,")[2])))
        assert decoded.size == size
        assert np.array_equal(np.asarray(decoded), pixels) == kept
