"""The worst leaks and the best pictures of each method, beside their style references."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

from callbacks.scoring.scored import Group, Scored
from scripts.report.cells import number
from scripts.report.curves import is_number
from scripts.report.html_parts import Markup, paragraph
from scripts.report.tables import base_group
from scripts.report.thumbnails import Thumbnails

TEXT, IMAGE, CONTENT = "alignment/text", "alignment/image", "alignment/content"
_LEAKED = "leakage/leaked"
_STRONG = ("scale", "strength")  # of these a method's largest value is shown
_THETA = 0.7  # and of the quantiles that nearest to the published one

Row = dict[str, Any]


class Cases(NamedTuple):
    """Some pictures of one group."""

    group: Group
    leaks: list[Row]  # nearest to the reference's content, less their prompt; the worst first
    best: list[Row]  # not leaked, nearest to the reference's style


def find(scored: Scored, judge: str, most: int = 4, most_groups: int = 8) -> list[Cases]:
    """The `most` worst leaks and best pictures of up to `most_groups` groups, by the CLIP `judge`."""
    chosen = shown_groups(scored.groups, most_groups)
    rows: dict[tuple[str, str], list[Row]] = {(group.method, group.setting): [] for group in chosen}
    for row in scored.rows:
        members = rows.get((row["method"], row["setting"]))
        if members is not None and row["judge"] == judge and row[TEXT] is not None:
            members.append(row)
    return [_cases(group, rows[group.method, group.setting], most) for group in chosen]


def shown_groups(groups: Sequence[Group], most: int = 8) -> list[Group]:
    """All groups if they are few; else 2-means masking and the strongest setting of each method and variant."""
    if len(groups) <= most:
        return list(groups)
    by_variant = sorted(groups, key=_variant)
    strongest = [max(members, key=_strength) for _, members in groupby(by_variant, key=_variant)]
    kept = [base_group(groups), *strongest]
    return [group for group in groups if group in kept][:most]


def clip_judge(scored: Scored) -> str | None:
    """The first judge that compares pictures with words, or None."""
    return next((judge for judge in scored.judges if {TEXT, IMAGE, CONTENT} <= set(scored.tags(judge))), None)


def shown(cases: Sequence[Cases]) -> Markup:
    """All cases as HTML."""
    thumbnails = Thumbnails()
    parts = "".join(_group(each, thumbnails) for each in cases)
    count = len(thumbnails.missing)
    lost = f"Grey tiles stand for images that are no files of their own, or have gone since they were scored: {count}."
    return Markup(f"{parts}{paragraph(lost) if count else ''}")


def _variant(group: Group) -> tuple[str, ...]:
    return group.method, *(f"{key}={value}" for key, value in group.varied.items() if not is_number(value))


def _strength(group: Group) -> tuple[float, ...]:
    values = {key.rpartition(".")[2]: value for key, value in group.varied.items() if is_number(value)}
    return *(values.get(name, 0) for name in _STRONG), -abs(values.get("theta", _THETA) - _THETA)


def _cases(group: Group, rows: Sequence[Row], most: int) -> Cases:
    leaked = sorted((row for row in rows if row[_LEAKED]), key=_excess, reverse=True)
    middle = median(row[TEXT] for row in rows) if rows else 0.0
    good = [row for row in rows if not row[_LEAKED] and row[TEXT] >= middle]
    best = sorted(good, key=lambda row: row[IMAGE], reverse=True)
    return Cases(group, _of_distinct_references(leaked)[:most], _of_distinct_references(best)[:most])


def _excess(row: Row) -> float:
    """i.n - i.p"""
    return float(row[CONTENT] - row[TEXT])


def _of_distinct_references(rows: Iterable[Row]) -> list[Row]:
    """The first row of each reference: what it shows is seen once."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["reference"], row)
    return list(first.values())


def _group(cases: Cases, thumbnails: Thumbnails) -> str:
    rows = (
        ("Worst leaks", cases.leaks, "No picture leaked."),
        ("Best", cases.best, "No picture is both."),
    )
    parts = (_row(title, members, nothing, thumbnails) for title, members, nothing in rows)
    return f'<h3>{escape(cases.group.title)}</h3><div class="pair">{"".join(parts)}</div>'


def _row(title: str, rows: Sequence[Row], nothing: str, thumbnails: Thumbnails) -> str:
    cards = "".join(_card(row, thumbnails) for row in rows) or f'<p class="quiet">{nothing}</p>'
    return f'<section><h4>{title}</h4><div class="cases">{cards}</div></section>'


def _card(row: Row, thumbnails: Thumbnails) -> str:
    reference = f"{row['content']}, {row['style']}" if row["style"] else row["content"]
    tiles = (
        thumbnails.tile(row["reference_path"], f"Reference: {reference}"),
        thumbnails.tile(row["path"], f"Picture drawn for “{row['prompt']}”"),
    )
    values = (("leak", number(_excess(row), CONTENT, signed=True)), ("text", number(row[TEXT], TEXT)))
    scores = "".join(
        f"<span>{name} <b>{value}</b></span>" for name, value in (*values, ("style", number(row[IMAGE], IMAGE)))
    )
    words = f"<b>{escape(row['prompt'])}</b><span>in the style of: {escape(reference)}</span>"
    return f'<figure class="case"><div>{"".join(tiles)}</div><figcaption>{words}<i>{scores}</i></figcaption></figure>'
