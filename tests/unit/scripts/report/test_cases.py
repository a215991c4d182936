"""The worst leaks and the best pictures, and the pictures that stand in the page."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callbacks.scoring.scored import Group, Scored
from scripts.report import cases
from scripts.report.cells import TEMPLATES
from scripts.report.page import LONGEST, Thumbnail, thumbnail
from tests.unit.scripts.report.scored_folder import CLIP, Plan, write_scored_folder

LEVELS = (1.0, 0.6, 0.2)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    plans = [Plan("ip_adapter", {}, 0.9), Plan("masking", {}, 0.4, 0.3)]
    return Scored.read(write_scored_folder(tmp_path_factory.mktemp("scores"), plans))


def test_worst_leaks_exceed_their_prompt_most(scored: Scored) -> None:
    found = cases.find(scored, CLIP, most=2)[0]
    excess = {r["path"]: r["alignment/content"] - r["alignment/text"] for r in _rows(scored, found.group)}
    assert found.leaks[0]["path"] == max(excess, key=lambda path: excess[path])
    assert excess[found.leaks[0]["path"]] >= excess[found.leaks[1]["path"]] > 0


def test_best_pictures_did_not_leak_and_follow_their_prompt(scored: Scored) -> None:
    found = cases.find(scored, CLIP)[1]
    rows = _rows(scored, found.group)
    middle = np.median([row["alignment/text"] for row in rows])
    good = [row for row in rows if not row["leakage/leaked"] and row["alignment/text"] >= middle]
    assert found.best[0] == max(good, key=lambda row: row["alignment/image"])
    assert all(row in good for row in found.best)
    assert len({row["reference"] for row in found.best}) == len(found.best)


def test_of_a_sweep_two_means_and_the_strongest_settings_are_shown() -> None:
    groups = [
        *(Group("ip_adapter", f"{s}", {"sampling.scale": s}, {}, 1) for s in LEVELS),
        *(
            Group("instantstyle", f"{a} {s}", {"condition.strength": a, "sampling.scale": s}, {}, 1)
            for a in LEVELS
            for s in LEVELS
        ),
        Group("masking", "", {}, {}, 1),
        *(
            Group("quantile_masking", f"{t} {d}", {"condition.theta": t, "condition.drop": d}, {}, 1)
            for t in (0.5, 0.7, 0.9)
            for d in ("high", "low")
        ),
    ]
    shown = [(group.method, group.setting) for group in cases.shown_groups(groups)]
    quantiles = [("quantile_masking", "0.7 high"), ("quantile_masking", "0.7 low")]
    assert shown == [("ip_adapter", "1.0"), ("instantstyle", "1.0 1.0"), ("masking", ""), *quantiles]
    assert cases.shown_groups(groups[:8]) == groups[:8]


def test_the_first_clip_judge_chooses(scored: Scored) -> None:
    assert cases.clip_judge(scored) == CLIP


def shown(found: cases.Cases) -> tuple[str, set[str]]:
    missing: set[str] = set()
    return TEMPLATES.get_template("parts.html.j2").module.cases(found, missing), missing


def test_cases_show_pictures_beside_their_references_with_escaped_words(scored: Scored) -> None:
    [found, *_] = cases.find(scored, CLIP, most=1)
    page, missing = shown(found._replace(leaks=[{**found.leaks[0], "prompt": "<b>&"}], best=[]))
    assert page.count("data:image/png;base64,") == 2
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page.replace("<b>&lt;b&gt;&amp;", "")
    assert "No picture is both." in page and not missing


def test_lost_pictures_are_grey_tiles_and_counted(scored: Scored) -> None:
    [found, *_] = cases.find(scored, CLIP, most=1)
    lost = {**found.leaks[0], "path": "gone/lost & found.png"}
    page, missing = shown(found._replace(leaks=[lost, lost]))
    assert page.count("tile missing") == 2 and ">lost &amp; found.png<" in page
    assert missing == {"gone/lost & found.png"}


def test_small_pictures_are_kept_pixel_by_pixel_and_large_ones_scaled(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    Image.new("RGB", (600, 300), "red").save(tmp_path / "large.png")
    small, large = (thumbnail(str(tmp_path / f"{name}.png")) for name in ("small", "large"))
    assert small and small.is_small and np.array_equal(np.asarray(_decoded(small)), pixels)
    assert large and not large.is_small and _decoded(large).size == (LONGEST, LONGEST // 2)


def _rows(scored: Scored, group: Group) -> list[dict[str, float]]:
    return [row for row in scored.rows if (row["method"], row["judge"]) == (group.method, CLIP)]


def _decoded(picture: Thumbnail) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.source.partition("base64,")[2])))
