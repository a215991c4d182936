"""The worst leaks and the best pictures of each method."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

from callbacks.scoring.scored import Group, Scored
from scripts.report.tables import CONTENT, IMAGE, LEAKED, TEXT, base_group
from scripts.report.tradeoff import is_number

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
    told = [row for row in scored.rows if row["judge"] == judge and row[TEXT] is not None]
    return [
        _cases(group, [row for row in told if (row["method"], row["setting"]) == (group.method, group.setting)], most)
        for group in shown_groups(scored.groups, most_groups)
    ]


def shown_groups(groups: Sequence[Group], most: int = 8) -> list[Group]:
    """All groups if they are few; else 2-means masking and the strongest setting of each method and variant."""
    if len(groups) <= most:
        return list(groups)
    by_variant = groupby(sorted(groups, key=_variant), key=_variant)
    kept = [base_group(groups), *(max(members, key=_strength) for _, members in by_variant)]
    return [group for group in groups if group in kept][:most]


def clip_judge(scored: Scored) -> str | None:
    """The first judge that compares pictures with words, or None."""
    return next((judge for judge in scored.judges if {TEXT, IMAGE, CONTENT} <= set(scored.tags(judge))), None)


def excess(row: Row) -> float:
    """i.n - i.p: how much nearer a picture is to its reference's content than to its prompt."""
    return float(row[CONTENT] - row[TEXT])


def _variant(group: Group) -> tuple[str, ...]:
    return group.method, *(f"{key}={value}" for key, value in group.varied.items() if not is_number(value))


def _strength(group: Group) -> tuple[float, ...]:
    values: dict[str, Any] = {key.rpartition(".")[2]: value for key, value in group.varied.items() if is_number(value)}
    return *(values.get(name, 0) for name in _STRONG), -abs(values.get("theta", _THETA) - _THETA)


def _cases(group: Group, rows: Sequence[Row], most: int) -> Cases:
    leaked = sorted((row for row in rows if row[LEAKED]), key=excess, reverse=True)
    middle = median(row[TEXT] for row in rows) if rows else 0.0
    good = [row for row in rows if not row[LEAKED] and row[TEXT] >= middle]
    best = sorted(good, key=lambda row: row[IMAGE], reverse=True)
    return Cases(group, _of_distinct_references(leaked)[:most], _of_distinct_references(best)[:most])


def _of_distinct_references(rows: Iterable[Row]) -> list[Row]:
    """The first row of each reference: what it shows is seen once."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["reference"], row)
    return list(first.values())
