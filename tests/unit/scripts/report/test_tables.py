"""The tables hold the numbers of the rows, say whose they are, and go on where something is missing."""

import io
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from callbacks.scoring.scored import Group, Scored
from scripts.report.cells import Cell, Table
from scripts.report.tables import (
    base_group,
    by_method,
    by_style,
    chosen,
    content_by_prompt,
    differences,
    show,
    write_tables,
)
from tests.unit.scripts.report.scored_folder import CLASSIFIER, CLIP, PLANS, Plan, write_rows, written

LEAK = "leakage/leaked_among_all"


def rows(table: Table) -> list[list[Cell | str]]:
    return [list(row) for row in table.frame.itertuples(index=False, name=None)]


def cell(table: Table, row: str, column: str) -> Cell:
    [found] = [each for each in rows(table) if each[0] == row]
    value = found[list(table.frame.columns).index(column)]
    assert isinstance(value, Cell)
    return value


def mean(scored: Scored, tag: str, **where: str) -> tuple[float, int]:
    """Mean and count over the rows, read by hand."""
    pictures = [row for row in scored.rows if all(row[key] == value for key, value in where.items())]
    values = [row[tag] for row in pictures if row[tag] is not None]
    return float(np.mean(values)), len(values)


def test_by_method(scored: Scored) -> None:
    table = by_method(scored, CLIP)
    assert [*table.frame.columns][:4] == ["method", "pictures", "text alignment ↑", "image alignment ↑"]
    assert [row[:2] for row in rows(table)] == [[group.title, "24"] for group in scored.groups]
    found = cell(table, "InstantStyle, strength 0.2, scale 0.6", "published leakage score ↓")
    assert (found.mean, found.n) == pytest.approx(
        mean(scored, "published/leakage_score", setting="strength 0.2, scale 0.6", judge=CLIP)
    )
    assert cell(table, "Masking", "share masked").value == "30.0 %"
    assert rows(table)[0][-1] == "–"  # IP-Adapter masks nothing


def test_tables_say_whose_numbers_they_are_and_how_many(scored: Scored) -> None:
    table = by_method(scored, CLASSIFIER)
    assert table.title == "All methods, judged by miniature classifier"
    assert table.note.startswith("n = 24 pictures in each cell that does not tell its own n.")
    assert "95 % bootstrap intervals over references, 6 in all" in table.note
    assert "where it sees the reference's content" in table.note
    assert cell(table, "Masking", "leak rate ↓").n == 12  # it knows no benches
    assert "classifier" not in by_method(scored, CLIP).note


def test_content_by_prompt(scored: Scored) -> None:
    masking = base_group(scored.groups)
    table = content_by_prompt(scored, CLIP, masking, LEAK)
    assert [*table.frame.columns] == ["content", "A bench", "A human", "all"]
    assert [row[0] for row in rows(table)] == ["dog", "frog", "ship", "all"]
    wanted = {"method": "masking", "judge": CLIP}
    for row in ("dog", "frog", "ship"):
        for column in ("A bench", "A human"):
            found = cell(table, row, column)
            assert (found.mean, found.n) == pytest.approx(mean(scored, LEAK, content=row, prompt=column, **wanted))
    assert cell(table, "all", "A human").mean == pytest.approx(mean(scored, LEAK, prompt="A human", **wanted)[0])
    assert cell(table, "all", "all").n == 24
    assert table.title == "Leak rate among all contents ↓ of Masking by content and prompt, judged by miniature"


def test_by_style(scored: Scored, tmp_path: Path) -> None:
    table = by_style(written(tmp_path, *PLANS[:2]), CLIP, "alignment/image")
    assert "nearest" not in table.note
    assert [*table.frame.columns] == ["style", "IP-Adapter, scale 1.0", "IP-Adapter, scale 0.6"]
    assert [row[0] for row in rows(table)] == ["line art", "pop art", "all"]
    found = cell(table, "pop art", "IP-Adapter, scale 0.6")
    wanted = {"style": "pop art", "setting": "scale 0.6", "method": "ip_adapter", "judge": CLIP}
    assert (found.mean, found.n) == pytest.approx(mean(scored, "alignment/image", **wanted))


def test_chosen_groups_leak_as_the_base_does(scored: Scored) -> None:
    masking, *others = chosen(scored, CLIP)
    aim = mean(scored, LEAK, method="masking", judge=CLIP)[0]
    assert masking.method == "masking"
    assert [each.method for each in others] == ["ip_adapter", "instantstyle", "quantile_masking"]
    for other in others:
        leaks = {
            group.setting: mean(scored, LEAK, method=group.method, setting=group.setting, judge=CLIP)[0]
            for group in scored.groups
            if group.method == other.method
        }
        assert abs(leaks[other.setting] - aim) == min(abs(leak - aim) for leak in leaks.values())
    assert "nearest to that of Masking" in by_style(scored, CLIP, LEAK).note


def test_differences(scored: Scored) -> None:
    table = differences(scored, CLIP)
    assert table.title == "Each method less Masking, judged by miniature"
    assert [*table.frame.columns] == [
        *("method", "text alignment ↑", "image alignment ↑"),
        *("leak rate, points ↓", "leak rate among all contents, points ↓"),
    ]
    assert "Masking" not in [row[0] for row in rows(table)] and len(rows(table)) == len(PLANS) - 1
    found = cell(table, "IP-Adapter, scale 1.0", "image alignment ↑")
    (mine, n), (base, _) = (
        mean(scored, "alignment/image", judge=CLIP, method=method, setting=setting)
        for method, setting in (("ip_adapter", "scale 1.0"), ("masking", ""))
    )
    assert (found.mean, found.n) == pytest.approx((mine - base, n))
    assert found.is_difference and found.low is not None and 0 < found.low < found.mean
    assert "n = 24 pairs of pictures" in table.note


def test_groups_of_another_grid_are_named_or_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    scored = written(tmp_path / "all", *PLANS[:6], PLANS[12])
    kept = [r for r in scored.rows if r["setting"] in ("scale 1.0", "") or r["prompt"] != "A bench"]
    table = differences(Scored.read(write_rows(tmp_path / "some", kept, scored.about)), CLIP)
    assert rows(table)[1] == ["IP-Adapter, scale 0.6", "–", "–", "–", "–"]
    assert rows(table)[0] == rows(differences(scored, CLIP))[0]
    assert "`IP-Adapter, scale 0.6` lacks 12: (reference 'dog-line-art', prompt 'A bench', seed 100)" in table.note
    assert table.note.count("lacks 12") == 3
    assert table.note.endswith("And 2 more groups cannot be compared.")


def test_base_group() -> None:
    first, quantile = (Group(method, "", {}, 1, {}) for method in ("ip_adapter", "quantile_masking"))
    three, two = (Group("masking", f"{n}", {}, 1, {"condition": {"n_clusters": n}}) for n in (3, 2))
    assert base_group([first, three, two, quantile]) is two
    assert base_group([first, quantile]) is first


def test_written_tables(tmp_path: Path) -> None:
    scored = written(tmp_path, *PLANS[11:14])
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "of-yesterday.md").write_text("old")
    [*tables] = chain(*write_tables(scored))
    files = {path.name for path in (tmp_path / "tables").iterdir()}
    assert files == {f"{table.name}{suffix}" for table in tables for suffix in (".md", ".tex")}
    assert {"by-method-miniature.md", "differences-miniature-classifier.tex"} < files
    for table in tables:
        text = (tmp_path / "tables" / f"{table.name}.md").read_text()
        assert all(each.value in text for row in rows(table) for each in row if isinstance(each, Cell))


def test_tables_whose_names_are_spelt_alike_are_kept_apart(tmp_path: Path) -> None:
    scored = written(tmp_path, Plan("a b", {}, 0.5), Plan("a-b", {}, 0.6))
    names = [table.name for table in chain(*write_tables(scored))]
    assert {f"content-by-prompt-alignment-text-a-b-miniature{end}" for end in ("", "-2")} < set(names)
    assert len(names) == len(set(names))


def test_one_group_has_no_differences_and_untold_styles_no_tables(tmp_path: Path) -> None:
    scored = written(tmp_path, PLANS[0])
    untold = Scored.read(write_rows(tmp_path, [row | {"style": ""} for row in scored.rows], scored.about))
    names = [table.name for table in chain(*write_tables(untold))]
    assert "by-method-miniature" in names
    assert not any(name.startswith(("by-style", "differences")) for name in names)


def shown(scored: Scored) -> str:
    file = io.StringIO()
    show(scored, Console(file=file, width=250))
    return file.getvalue()


def test_a_terminal_shows_means_intervals_and_failures_of_every_judge(tmp_path: Path) -> None:
    scored = written(tmp_path, *PLANS[:2])
    text, title = shown(scored), scored.groups[1].title
    found = cell(by_method(scored, CLIP), title, "text alignment ↑")
    lines = text.splitlines()
    row = next(place for place, line in enumerate(lines) if title in line)
    assert found.value in lines[row] and found.interval in lines[row + 1]
    for expected in (f"Judged by {CLIP}", f"Judged by {CLASSIFIER}", "Pictures that could not be scored: 1;"):
        assert expected in text
    assert "more in the report" not in text


def test_a_terminal_shows_a_sweep_in_part(scored: Scored) -> None:
    assert f"And {len(PLANS) - 12} more in the report." in shown(scored)
