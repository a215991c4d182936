"""The scores in short, for a terminal."""

from rich.console import Console
from rich.table import Table

from callbacks.scoring.scored import Scored
from scripts.report.cells import Cell, tag_of
from scripts.report.tables import COMPARED

_MOST = 12  # methods; of a sweep the report tells all


def show(scored: Scored, console: Console | None = None) -> None:
    """A table for each judge: the means of its most telling scores, with their intervals, for the first methods."""
    console = console or Console(highlight=False)
    for judge in scored.judges:
        tags = [tag for tag in COMPARED if tag in scored.tags(judge)]
        table = Table("method", "pictures", *(tag_of(tag).header for tag in tags), title=f"Judged by {judge}")
        for group in scored.groups[:_MOST]:
            cells = (Cell.of(tag, scored.estimate(group, judge, tag)) for tag in tags)
            told = (f"{cell.value}\n{cell.interval}" if isinstance(cell, Cell) else cell for cell in cells)
            table.add_row(group.title, str(group.pictures), *told)
        console.print(table, markup=False)
    if len(scored.groups) > _MOST:
        console.print(f"And {len(scored.groups) - _MOST} more in the report.")
    if scored.failures:
        console.print(f"Pictures that could not be scored: {len(scored.failures)}; the report names them.")
