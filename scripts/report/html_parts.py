"""Pieces of a self-contained HTML page: escaped text, tables, embedded pictures."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image


class Markup(str):
    """Text that is HTML already; all other text is escaped."""


def text(value: object) -> str:
    """`value` as HTML."""
    return value if isinstance(value, Markup) else escape(str(value))


def paragraph(*sentences: object) -> Markup:
    """Sentences as one paragraph."""
    return Markup(f"<p>{' '.join(map(text, sentences))}</p>")


def bullets(items: Sequence[object]) -> Markup:
    """A list of sentences."""
    return Markup("<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>")


def table(caption: str, headers: Sequence[str], rows: Sequence[Sequence[object]], words: bool = False) -> Markup:
    """A table whose cells are numbers, aligned right, or `words`, aligned left; the first column names the rows."""
    style = ' class="words"' if words else ""
    head = "".join(f'<th scope="col"{style}>{escape(header)}</th>' for header in headers)
    body = "".join(_row(row, style) for row in rows)
    caption = f"<caption>{escape(caption)}</caption>"
    grid = f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return Markup(f'<div class="scroll">{grid}</div>')


def _row(row: Sequence[object], style: str) -> str:
    first, *others = row
    cells = "".join(f"<td{style}>{text(value)}</td>" for value in others)
    return f'<tr><th scope="row"{style}>{text(first)}</th>{cells}</tr>\n'


def details(summary: str, *parts: Markup, is_open: bool = False) -> Markup:
    """Parts that a click unfolds."""
    state = " open" if is_open else ""
    return Markup(f"<details{state}><summary>{escape(summary)}</summary>{''.join(parts)}</details>")


def embedded(path: Path, alternative: str) -> Markup:
    """An SVG file as it is, or any other picture as a JPEG of high quality, within the page."""
    if path.suffix == ".svg":
        kind, data = "svg+xml", path.read_bytes()
    else:
        kind, buffer = "jpeg", io.BytesIO()
        Image.open(path).convert("RGB").save(buffer, "JPEG", quality=88)
        data = buffer.getvalue()
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Markup(f'<img src="{source}" alt="{escape(alternative)}">')
