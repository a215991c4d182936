"""A contact sheet: each reference at the left of its pictures, a column a method."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from callbacks.image_grid import fit, shorten

_CELL, _MARGIN, _LINE = 224, 12, 18  # pixels
_INK, _GREY = "#1d2228", "#69717a"
_FONT, _SMALL = 14, 12


class Cell(NamedTuple):
    """One picture with the lines below it; None where there is no picture."""

    image: Image.Image | None
    lines: Sequence[str] = ()


class Row(NamedTuple):
    """A reference and what was drawn in its style for one prompt, a cell a column."""

    reference: Cell
    title: str
    results: Sequence[Cell]


def contact_sheet(columns: Sequence[str], rows: Sequence[Row]) -> Image.Image:
    """Draw `rows` under the names of the `columns`; pictures smaller than a cell are enlarged pixel by pixel."""
    lines = max((len(cell.lines) for row in rows for cell in (row.reference, *row.results)), default=0)
    pitch, height = _CELL + _MARGIN, _CELL + _LINE * (lines + 1) + _MARGIN
    size = _MARGIN + pitch * (len(columns) + 1), _MARGIN + _LINE + height * len(rows)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(["reference", *columns]):
        _write(pen, (_MARGIN + column * pitch, _MARGIN // 2), name, _FONT, _INK)
    for place, row in enumerate(rows):
        top = _MARGIN + _LINE + place * height
        _write(pen, (_MARGIN + pitch, top), row.title, _SMALL, _INK, pitch * len(columns) - _MARGIN)
        for column, cell in enumerate((row.reference, *row.results)):
            left = _MARGIN + column * pitch
            if cell.image is not None:
                sheet.paste(fit(cell.image, _CELL), (left, top + _LINE))
            for number, line in enumerate(cell.lines):
                _write(pen, (left, top + _LINE * (number + 1) + _CELL + 3), line, _SMALL, _GREY)
    return sheet


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: str, width: int = _CELL
) -> None:
    font = ImageFont.load_default(size)
    pen.text(place, shorten(text, width, font), fill=colour, font=font)
