"""The report of a scores folder: one HTML page that needs no network."""

import base64
import io
import json
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from callbacks.scoring.groups import title_of
from callbacks.scoring.scored import Group, Scored
from datamodules.files import write_atomically, write_text
from datamodules.names import slug
from lightning_modules.outputs import MOST_MASKED
from scripts.report import masks, tradeoff
from scripts.report.cells import TEMPLATES, Table, number
from scripts.report.claims import claims, front
from scripts.report.tables import CONTENT, IMAGE, LEAKED, TEXT, base_group, methods_of, write_tables
from scripts.report.tradeoff import FAINT, INK, PAPER, is_number

NAME = "report.html"
LONGEST = 192  # pixels of a thumbnail; more than a page shows
_PIXELATED = 128  # up to here a picture is enlarged without blurring
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_COLOURS = {INK: ("--ink", "#e4e7eb"), FAINT: ("--faint", "#3a4048"), PAPER: ("--paper", "#16191d")}  # in the dark

_STRONG = ("scale", "strength")  # of these a method's largest value is shown
_THETA = 0.7  # and of the quantiles that nearest to the published one

Row = dict[str, Any]


class Tradeoff(NamedTuple):
    """What one judge says about all settings together."""

    judge: str
    figures: list[Figure]  # style against leakage, and against the prompt
    claims: list[str]
    fronts: dict[str, list[Group]]  # by method


class Cases(NamedTuple):
    """Some pictures of one group."""

    group: Group
    leaks: list[Row]  # nearest to the reference's content, less their prompt; the worst first
    best: list[Row]  # not leaked, nearest to the reference's style


def write(scored: Scored) -> Path:
    """Write tables, figures and `report.html` beside the scores; returns the page's path."""
    drawn = draw(scored)
    page = render(scored, write_tables(scored), drawn)
    for each in drawn:
        for part, figure in enumerate(each.figures, start=1):
            for suffix in ("pdf", "png"):  # for a paper and for the eye
                path = scored.folder / "figures" / f"trade-off-{slug(each.judge)}-{part}.{suffix}"
                write_atomically(path, partial(figure.savefig, format=suffix, dpi=200))
    write_text(scored.folder / NAME, page)
    return scored.folder / NAME


def render(
    scored: Scored,
    tables: Sequence[Sequence[Table]],
    tradeoffs: Sequence[Tradeoff],
    template: str = "page.html.j2",
    title: str = "Style and leakage",
    **more: Any,
) -> str:
    """The page with all that the scores tell; a `template` that extends it may show `more`."""
    judge = clip_judge(scored)
    return TEMPLATES.get_template(template).render(
        title=title,
        scored=scored,
        tradeoffs=tradeoffs,
        tables=tables,
        cases=[] if judge is None else find_cases(scored, judge),
        cases_judge=judge,
        masked=mostly_masked(scored),
        masks=[(profile, masks.draw_profile(profile)) for profile in masks.read_profiles(scored.folder)],
        groups=json.dumps(scored.about["groups"], indent=1, ensure_ascii=False),
        missing=set(),
        **more,
    )


def draw(scored: Scored) -> list[Tradeoff]:
    """What each judge that gives enough scores says about all settings, if some method has several."""
    if all(len(members) == 1 for members in methods_of(scored.groups).values()):
        return []
    found = []
    for judge in scored.judges:
        if axes := tradeoff.axes_of(scored.tags(judge)):
            figures = [tradeoff.draw(scored, judge, axes.style, across) for across in (axes.leak, axes.prompt)]
            tags = axes.style, axes.leak
            found.append(Tradeoff(judge, figures, claims(scored, judge, *tags), front(scored, judge, *tags)))
    return found


def mostly_masked(scored: Scored) -> list[str]:
    """What is said of each picture that was drawn from a feature of which more than half is masked."""
    rows = scored.frame[scored.frame["judge"] == scored.judges[0]]
    rows = rows[rows["share_masked"] > MOST_MASKED].sort_values("share_masked", ascending=False, kind="stable")
    told = zip(rows["reference"], rows["content"], rows["prompt"], rows["method"], rows["share_masked"], strict=True)
    return [
        f"{reference} by the word {word!r}, {100 * share:.0f} %: {prompt}, {title_of(method)}"
        for reference, word, prompt, method, share in told
    ]


def clip_judge(scored: Scored) -> str | None:
    """The first judge that compares pictures with words, or None."""
    return next((judge for judge in scored.judges if {TEXT, IMAGE, CONTENT} <= set(scored.tags(judge))), None)


def find_cases(scored: Scored, judge: str, most: int = 4) -> list[Cases]:
    """The `most` worst leaks and best pictures of the `shown_groups`, by the CLIP `judge`."""
    frame = scored.frame[scored.frame["judge"] == judge].dropna(subset=TEXT)
    frame = frame.assign(excess=frame[CONTENT] - frame[TEXT])
    found = []
    for group in shown_groups(scored.groups):
        rows = frame[(frame["method"] == group.method) & (frame["setting"] == group.setting)]
        leaked, follows = rows[LEAKED] == 1, rows[TEXT] >= rows[TEXT].median()
        found.append(Cases(group, _first(rows[leaked], "excess", most), _first(rows[~leaked & follows], IMAGE, most)))
    return found


def _first(rows: pd.DataFrame, score: str, most: int) -> list[Row]:
    """Those of the highest `score`, one of each reference: what it shows is seen once."""
    ranked = rows.sort_values(score, ascending=False, kind="stable")
    found: list[Any] = ranked.drop_duplicates("reference").head(most).to_dict("records")
    return found


def shown_groups(groups: Sequence[Group], most: int = 8) -> list[Group]:
    """All groups if they are few; else 2-means masking and the strongest setting of each method and variant."""
    if len(groups) <= most:
        return list(groups)
    by_variant = groupby(sorted(groups, key=_variant), key=_variant)
    kept = [base_group(groups), *(max(members, key=_strength) for _, members in by_variant)]
    return [group for group in groups if group in kept][:most]


def _variant(group: Group) -> tuple[str, ...]:
    return group.method, *(f"{key}={value}" for key, value in group.varied.items() if not is_number(value))


def _strength(group: Group) -> tuple[float, ...]:
    values: dict[str, Any] = {key.rpartition(".")[2]: value for key, value in group.varied.items() if is_number(value)}
    return *(values.get(name, 0) for name in _STRONG), -abs(values.get("theta", _THETA) - _THETA)


def svg(figure: Figure) -> bytes:
    """The figure with real text; what is drawn in INK, FAINT or PAPER changes with the reader's colour scheme."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "maskst", "font.size": 9}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue().replace("'DejaVu Sans'", _FONT)
    for colour, (name, _) in _COLOURS.items():
        drawn = drawn.replace(colour, f"var({name})")
    light = ";".join(f"{name}:{colour}" for colour, (name, _) in _COLOURS.items())
    dark = ";".join(f"{name}:{colour}" for name, colour in _COLOURS.values())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    return drawn.replace("<defs>", f"{style}<defs>", 1).encode()


def address(data: bytes, kind: str) -> str:
    """The address within the page of a picture, "svg+xml", "jpeg" or "png"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def jpeg(path: Path) -> str:
    """The address of a picture in high quality."""
    with Image.open(path) as opened:
        return _address(opened.convert("RGB"), "jpeg", quality=88)


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
    if max(picture.size) <= _PIXELATED:
        return Thumbnail(_address(picture, "png", optimize=True), is_small=True)
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return Thumbnail(_address(picture, "jpeg", quality=85), is_small=False)


def _address(picture: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return address(buffer.getvalue(), kind)


TEMPLATES.filters |= {"svg": svg, "address": address, "thumbnail": thumbnail, "jpeg": jpeg, "number": number}
TEMPLATES.filters["title_of"] = title_of
