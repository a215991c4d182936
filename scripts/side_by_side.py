"""Pictures of several methods side by side, with what a judge says of each: for a terminal and as a contact sheet."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image
from rich.table import Table

from callbacks.scoring.groups import title_of
from callbacks.scoring.judge import IMAGE, LEAKED
from datamodules.prediction_folders import Finished
from scripts.sheet import Cell, Row, contact_sheet

_TEXT = "alignment/text"
_COLUMNS = ("picture", "shows", "prompt", "method", "leaked", "text", "image", "masked")


class Shown(NamedTuple):
    """A picture that was drawn, its reference, and what the judge says of it."""

    finished: Finished
    reference: Image.Image
    image: Image.Image
    scores: dict[str, float]

    @property
    def shows(self) -> str:
        """What the reference shows, and whether that was found: "cat (found)"."""
        reference = self.finished.job.reference
        return f"{reference.word} (found)" if reference.found else reference.word

    @property
    def lines(self) -> list[str]:
        """What a contact sheet says below it."""
        leaked = {1.0: "leaked", 0.0: "no leak"}.get(self.scores.get(LEAKED, -1.0))
        share = self.finished.line.get("share_masked")
        told = [
            f"{name} {self.scores[tag]:.2f}" for name, tag in (("text", _TEXT), ("image", IMAGE)) if tag in self.scores
        ]
        return [", ".join(filter(None, [leaked, *told])), "" if share is None else f"{100 * share:.0f} % masked"]


def as_table(columns: dict[str, list[Shown | None]], judge: str) -> Table:
    """Leak and alignments of each picture, for a terminal."""
    table = Table(title=f"Judged by {judge}")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column not in ("picture", "prompt"))
    for row in zip(*columns.values(), strict=True):
        for name, each in zip(columns, row, strict=True):
            if each is None:
                continue
            job, share = each.finished.job, each.finished.line.get("share_masked")
            scores = [f"{each.scores[tag]:.3f}" if tag in each.scores else "" for tag in (_TEXT, IMAGE)]
            leaked = {1.0: "yes", 0.0: "no"}.get(each.scores.get(LEAKED, -1.0), "")
            masked = "" if share is None else f"{100 * share:.0f} %"
            table.add_row(job.reference.key, each.shows, job.prompt, name, leaked, *scores, masked)
    return table


def as_sheet(columns: dict[str, list[Shown | None]]) -> Image.Image:
    """The pictures side by side, a row a reference, prompt and sample."""
    rows = []
    for row in zip(*columns.values(), strict=True):
        first = next((each for each in row if each), None)
        if first is None:
            continue
        job = first.finished.job
        reference = Cell(first.reference, [f"{Path(job.reference.key).name}: {first.shows}"])
        cells = [Cell(each.image, each.lines) if each else Cell(None, ["could not be made"]) for each in row]
        rows.append(Row(reference, job.prompt, cells))
    return contact_sheet([title_of(name) for name in columns], rows)
