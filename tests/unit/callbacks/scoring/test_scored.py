"""What is read from a scores folder, against NumPy readings of its rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from callbacks.scoring.groups import Group
from callbacks.scoring.scored import MASKED, Scored
from callbacks.scoring.table import Table, read_table, write_table
from tests.unit.scripts.report.scored_folder import CLASSIFIER, CLIP, PLANS, Plan, write_scored_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scored_folder(tmp_path_factory.mktemp("scores"), pictures=False)


@pytest.fixture(scope="module")
def scored(folder: Path) -> Scored:
    return Scored.read(folder)


def group(scored: Scored, title: str) -> Group:
    [found] = [each for each in scored.groups if each.title == title]
    return found


def rows_of(scored: Scored, group: Group, judge: str, **where: str) -> list[dict[str, Any]]:
    wanted = {"method": group.method, "setting": group.setting, "judge": judge, **where}
    return [row for row in scored.rows if all(row[key] == value for key, value in wanted.items())]


def bootstrapped(by_reference: list[list[float]]) -> tuple[float, float]:
    """95 % interval of the mean over pictures; reference after reference, from the same draws."""
    size = len(by_reference)
    draws = torch.randint(size, (2000, size), generator=torch.Generator().manual_seed(0)).numpy()
    means = [np.mean([value for place in draw for value in by_reference[place]]) for draw in draws]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def test_read_knows_groups_judges_and_failures(scored: Scored) -> None:
    assert scored.judges == [CLIP, CLASSIFIER]
    assert scored.failures == {"elsewhere/broken.png": "image file is truncated"}
    assert [each.method for each in scored.groups] == [plan.method for plan in PLANS]
    assert {each.pictures for each in scored.groups} == {24}
    assert len(scored.rows) == len(PLANS) * 24 * 2
    assert scored.seen("style") == ["line art", "pop art"]
    assert scored.seen("content_image") == []


def test_titles_and_tags(scored: Scored) -> None:
    assert scored.groups[3].title == "InstantStyle, strength 1.0, scale 1.0"
    assert group(scored, "Masking").varied == {}
    assert Group("somebody's", "", {}, 3, {}).title == "somebody's"
    clip = scored.tags(CLIP)
    assert (clip[:2], clip[-1]) == (["alignment/text", "alignment/image"], MASKED) and "agreement/style" not in clip
    of_classifier = ["leakage/leaked", "leakage/leaked_among_all", "agreement/style", "agreement/prompt"]
    assert scored.tags(CLASSIFIER) == of_classifier


@pytest.mark.parametrize("tag", ["alignment/image", "leakage/leaked_among_all", "published/leakage_score", "diversity"])
def test_estimate_equals_a_numpy_reading(scored: Scored, tag: str) -> None:
    chosen = group(scored, "InstantStyle, strength 0.6, scale 1.0")
    rows = rows_of(scored, chosen, CLIP)
    by_reference = [[row[tag] for row in rows if row["reference"] == key] for key in scored.seen("reference")]
    estimate = scored.estimate(chosen, CLIP, tag)
    assert estimate is not None
    assert estimate.mean == pytest.approx(np.mean([row[tag] for row in rows]), abs=1e-6)
    assert (estimate.low, estimate.high) == pytest.approx(bootstrapped(by_reference), abs=1e-6)
    assert estimate.means == pytest.approx([np.mean(each) for each in by_reference], abs=1e-6)
    assert estimate.counts == [4] * 6


def test_pictures_of_which_a_judge_says_nothing_are_left_out(scored: Scored) -> None:
    chosen = scored.groups[0]
    told = [row["leakage/leaked"] for row in rows_of(scored, chosen, CLASSIFIER, prompt="A human")]
    estimate = scored.estimate(chosen, CLASSIFIER, "leakage/leaked")
    assert estimate is not None
    assert estimate.mean == pytest.approx(np.mean(told))
    assert sum(estimate.counts) == 12
    values, places = scored.values(chosen, CLASSIFIER, "leakage/leaked")
    assert values.tolist() == told
    assert places.tolist() == [place for place in (0, 1, 2, 3, 4, 5) for _ in range(2)]


def test_where_chooses_pictures(scored: Scored) -> None:
    chosen = group(scored, "Masking")
    where = {"content": "frog", "style": "pop art", "prompt": "A bench"}
    values, places = scored.values(chosen, CLIP, "alignment/text", **where)
    assert values.tolist() == [row["alignment/text"] for row in rows_of(scored, chosen, CLIP, **where)]
    assert places.tolist() == [scored.seen("reference").index("frog-pop-art")] * 2
    assert scored.estimate(chosen, CLIP, "alignment/text", content="rocket") is None


def test_nothing_is_estimated_from_nothing(scored: Scored) -> None:
    chosen = scored.groups[0]
    for judge, tag in ((CLASSIFIER, "alignment/text"), (CLIP, MASKED), (CLIP, "not/a score")):
        assert scored.estimate(chosen, judge, tag) is None
    with pytest.raises(ValueError, match="`alignment/text`: the judge 'miniature classifier' says nothing about the"):
        scored.difference(chosen, scored.groups[1], CLASSIFIER, "alignment/text")


@pytest.mark.parametrize("judge", [CLIP, CLASSIFIER])
def test_share_masked_is_the_same_with_every_judge(scored: Scored, judge: str) -> None:
    estimate = scored.estimate(group(scored, "Quantile masking, theta 0.7, drop low"), judge, MASKED)
    assert estimate is not None
    assert (estimate.mean, sum(estimate.counts)) == (pytest.approx(0.3), 24)


def test_difference_equals_a_numpy_reading(scored: Scored) -> None:
    a, b = group(scored, "IP-Adapter, scale 0.6"), group(scored, "Masking")
    mine, others = (
        {(row["reference"], row["prompt"], row["seed"]): row["alignment/text"] for row in rows_of(scored, each, CLIP)}
        for each in (a, b)
    )
    by_reference = [[mine[cell] - others[cell] for cell in mine if cell[0] == key] for key in scored.seen("reference")]
    difference = scored.difference(a, b, CLIP, "alignment/text")
    assert difference.mean == pytest.approx(np.mean(by_reference), abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx(bootstrapped(by_reference), abs=1e-9)
    assert difference.pairs == 24


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Scored:
    """The folder with some rows changed, or left out where `change` gives None."""
    table = read_table(source)
    rows = [row for row in map(change, table.rows.to_pylist()) if row is not None]
    write_table(target, table._replace(rows=table.rows.from_pylist(rows, schema=table.rows.schema)))
    return Scored.read(target)


def test_difference_names_what_is_missing(folder: Path, tmp_path: Path) -> None:
    def without_one(row: dict[str, Any]) -> dict[str, Any] | None:
        place = (row["method"], row["reference"], row["prompt"], row["sample"])
        return None if place == ("masking", "dog-pop-art", "A human", 1) else row

    scored = rewritten(folder, tmp_path, without_one)
    with pytest.raises(ValueError, match=r"`Masking` lacks 1: \(reference 'dog-pop-art', prompt 'A human', seed 101\)"):
        scored.difference(scored.groups[0], group(scored, "Masking"), CLIP, "alignment/text")


def test_pictures_without_seeds_are_paired_by_sample(folder: Path, scored: Scored, tmp_path: Path) -> None:
    changed = rewritten(folder, tmp_path, lambda row: row | ({"seed": None} if row["method"] == "masking" else {}))
    ours, theirs = (
        each.difference(each.groups[0], group(each, "Masking"), CLIP, "alignment/text") for each in (scored, changed)
    )
    assert ours == theirs


def test_missing_and_empty_tables_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no `scores.parquet`. Give a folder that `maskst test` wrote"):
        Scored.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="it holds the scores of no picture"):
        rewritten(folder, tmp_path, lambda _: None)


def test_tables_that_scoring_did_not_write_are_refused(folder: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "scores.parquet", pq.read_table(folder / "scores.parquet")
    tables = {
        "scores.parquet' is damaged": whole.replace_schema_metadata({"about": "{"}),
        r"it lacks \['judges', 'groups', 'failures'\], so scoring did not write it": whole.replace_schema_metadata(),
        "are of other groups or judges": whole.replace_schema_metadata(
            {"about": '{"judges": [], "groups": [], "failures": {}}'}
        ),
        r"it lacks \['seed', 'judge'\], so scoring did not write it": whole.drop_columns(["judge", "seed"]),
    }
    for message, table in tables.items():
        pq.write_table(table, path)
        with pytest.raises(ValueError, match=message):
            Scored.read(tmp_path)
    path.write_text("no parquet")
    with pytest.raises(ValueError, match="scores.parquet' is damaged"):
        Scored.read(tmp_path)


def test_a_picture_that_cannot_be_read_leaves_its_cell_out_of_every_pair(tmp_path: Path) -> None:
    plans = [Plan("masking", {}, 0.4, 0.3), Plan("ip_adapter", {}, 1.0)]
    folder = write_scored_folder(tmp_path, plans, pictures=False)
    table = read_table(folder)
    lost = next(row for row in table.rows.to_pylist() if row["method"] == "masking")
    rest = table.rows.filter(pc.field("path") != lost["path"])
    write_table(folder, Table(rest, table.about))
    masking, ip_adapter = Scored.read(folder).groups
    with pytest.raises(ValueError, match="`Masking` lacks 1: "):
        Scored.read(folder).difference(masking, ip_adapter, CLIP, "alignment/text")
    unread = [{key: lost[key] for key in ("reference", "prompt", "sample", "seed", "content_image")}]
    write_table(folder, Table(rest, {**table.about, "unread": unread}))
    difference = Scored.read(folder).difference(masking, ip_adapter, CLIP, "alignment/text")
    assert (difference.pairs, difference.references) == (23, 6)
