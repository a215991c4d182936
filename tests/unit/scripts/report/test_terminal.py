"""What a terminal shows of the scores."""

import io
from pathlib import Path

from rich.console import Console

from callbacks.scoring.scored import Scored
from scripts.report.cells import Cell
from scripts.report.terminal import show
from tests.unit.scripts.report.scored_folder import CLASSIFIER, CLIP, PLANS, write_scored_folder


def shown(scored: Scored) -> str:
    file = io.StringIO()
    show(scored, Console(file=file, width=250))
    return file.getvalue()


def test_means_intervals_and_failures_of_every_judge(tmp_path: Path) -> None:
    scored = Scored.read(write_scored_folder(tmp_path, PLANS[:2], pictures=False))
    text = shown(scored)
    cell = Cell.of("alignment/text", scored.estimate(scored.groups[1], CLIP, "alignment/text"))
    assert isinstance(cell, Cell)
    lines = text.splitlines()
    row = next(place for place, line in enumerate(lines) if scored.groups[1].title in line)
    assert cell.value in lines[row]
    assert cell.interval in lines[row + 1]
    for expected in (f"Judged by {CLIP}", f"Judged by {CLASSIFIER}", "Pictures that could not be scored: 1;"):
        assert expected in text
    assert "more in the report" not in text


def test_a_sweep_is_shown_in_part(tmp_path: Path) -> None:
    text = shown(Scored.read(write_scored_folder(tmp_path, pictures=False)))
    assert f"And {len(PLANS) - 12} more in the report." in text
