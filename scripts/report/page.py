"""The report of a scores folder: one HTML page that needs no network."""

import base64
import io
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from callbacks.scoring.groups import title_of
from callbacks.scoring.scored import Scored
from datamodules.files import write_atomically, write_text
from datamodules.names import slug
from scripts.report import cases, masks, tradeoff
from scripts.report.cells import TEMPLATES, Table, number
from scripts.report.claims import claims, front
from scripts.report.tables import CONTENT, IMAGE, TEXT, write_tables
from scripts.report.tradeoff import FAINT, INK, PAPER

NAME = "report.html"
LONGEST = 192  # pixels of a thumbnail; more than a page shows
_PIXELATED = 128  # up to here a picture is enlarged without blurring
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_DARK = {INK: "#e4e7eb", FAINT: "#3a4048", PAPER: "#16191d"}
_NAMES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"}

Figures = dict[str, tuple[Figure, Figure]]  # of each judge: style against leakage, and against the prompt


def write(scored: Scored) -> Path:
    """Write tables, figures and `report.html` beside the scores; returns the page's path."""
    figures = draw(scored)
    page = render(scored, write_tables(scored), figures)
    for judge, drawn in figures.items():
        for part, figure in enumerate(drawn, start=1):
            for suffix in ("pdf", "png"):  # for a paper and for the eye
                path = scored.folder / "figures" / f"trade-off-{slug(judge)}-{part}.{suffix}"
                write_atomically(path, partial(figure.savefig, format=suffix, dpi=200))
    write_text(scored.folder / NAME, page)
    return scored.folder / NAME


def render(
    scored: Scored,
    tables: Sequence[Sequence[Table]],
    figures: Figures,
    template: str = "page.html.j2",
    title: str = "Style and leakage",
    **more: Any,
) -> str:
    """The page with all that the scores tell; a `template` that extends it may show `more`."""
    judge = cases.clip_judge(scored)
    return TEMPLATES.get_template(template).render(
        title=title,
        scored=scored,
        tradeoffs=[_tradeoff(scored, judge, drawn) for judge, drawn in figures.items()],
        tables=tables,
        cases=[] if judge is None else cases.find(scored, judge),
        cases_judge=judge,
        masks=[(profile, masks.draw_profile(profile)) for profile in masks.read_profiles(scored.folder)],
        groups=json.dumps(scored.about["groups"], indent=1, ensure_ascii=False),
        missing=set(),
        **more,
    )


def svg(figure: Figure) -> bytes:
    """The figure with real text; what is drawn in INK, FAINT or PAPER changes with the reader's colour scheme."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "maskst", "font.size": 9}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue().replace("'DejaVu Sans'", _FONT)
    for colour, name in _NAMES.items():
        drawn = drawn.replace(colour, f"var({name})")
    light, dark = (";".join(f"{_NAMES[old]}:{new}" for old, new in to.items()) for to in ({c: c for c in _DARK}, _DARK))
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    return drawn.replace("<defs>", f"{style}<defs>", 1).encode()


def encoded(data: bytes) -> str:
    """Bytes as they stand in an address within the page."""
    return base64.b64encode(data).decode()


def jpeg(path: Path) -> str:
    """A picture of high quality as it stands in an address within the page."""
    buffer = io.BytesIO()
    with Image.open(path) as opened:
        opened.convert("RGB").save(buffer, "JPEG", quality=88)
    return encoded(buffer.getvalue())


class Thumbnail(NamedTuple):
    """A picture within the page."""

    source: str
    is_small: bool  # kept pixel by pixel


def thumbnail(place: str) -> Thumbnail | None:
    """The picture at `place`, scaled down if it is large; None where it cannot be read."""
    try:
        with Image.open(place) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    buffer, is_small = io.BytesIO(), max(picture.size) <= _PIXELATED
    if is_small:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        picture.save(buffer, "JPEG", quality=85)
    return Thumbnail(f"data:image/{'png' if is_small else 'jpeg'};base64,{encoded(buffer.getvalue())}", is_small)


def draw(scored: Scored) -> Figures:
    """Of each judge style against leakage, and style against the prompt, if some method has several settings."""
    if max(Counter(group.method for group in scored.groups).values()) == 1:
        return {}
    axes = {judge: tradeoff.axes_of(scored.tags(judge)) for judge in scored.judges}
    return {
        judge: (
            tradeoff.draw(scored, judge, each.style, each.leak),
            tradeoff.draw(scored, judge, each.style, each.prompt),
        )
        for judge, each in axes.items()
        if each
    }


def _tradeoff(scored: Scored, judge: str, figures: Sequence[Figure]) -> dict[str, Any]:
    axes = tradeoff.axes_of(scored.tags(judge))
    assert axes is not None
    fronts = [
        (title_of(method), "; ".join(group.setting or "its only setting" for group in groups))
        for method, groups in front(scored, judge, axes.style, axes.leak).items()
    ]
    told = claims(scored, judge, axes.style, axes.leak)
    return {"judge": judge, "figures": figures, "claims": told, "fronts": pd.DataFrame(fronts, columns=["", ""])}


def _case_scores(row: cases.Row) -> list[tuple[str, str]]:
    values = ("text", number(row[TEXT], TEXT)), ("style", number(row[IMAGE], IMAGE))
    return [("leak", number(cases.excess(row), CONTENT, signed=True)), *values]


TEMPLATES.filters |= {"svg": svg, "base64": encoded, "thumbnail": thumbnail, "jpeg": jpeg, "case_scores": _case_scores}
