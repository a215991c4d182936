"""What the scores allow to be said about style and leakage, in sentences; never more than the intervals allow."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from callbacks.intervals import Difference
from scripts.reporting.cells import Cell, number, tag_of
from scripts.reporting.scored import TITLES, Group, Scored
from scripts.reporting.tables import base_group

STYLE, LEAK = "alignment/image", "leakage/leaked_among_all"
_MOST_NAMED = 3


class Against(NamedTuple):
    """One setting against the base: paired differences in style and in leakage."""

    group: Group
    style: Difference
    leak: Difference

    @property
    def verdict(self) -> str:
        """Where its intervals put it."""
        more_style, less_style = self.style.low > 0, self.style.high < 0
        if more_style and self.leak.high <= 0:
            return "more style and no more leakage"
        if less_style and self.leak.low >= 0:
            return "less style and no less leakage"
        if more_style and self.leak.low > 0:
            return "more style and more leakage"
        if less_style and self.leak.high < 0:
            return "less style and less leakage"
        return ""


def front(scored: Scored, judge: str, style_tag: str = STYLE, leak_tag: str = LEAK) -> dict[str, list[Group]]:
    """For each method its settings that no other one beats: as much style, as little leakage, and one better."""
    methods: dict[str, list[tuple[Group, float, float]]] = defaultdict(list)
    for group in scored.groups:
        style, leak = scored.estimate(group, judge, style_tag), scored.estimate(group, judge, leak_tag)
        if style is not None and leak is not None:
            methods[group.method].append((group, style.mean, leak.mean))
    return {method: _not_beaten(members) for method, members in methods.items()}


def claims(scored: Scored, judge: str, style_tag: str = STYLE, leak_tag: str = LEAK) -> list[str]:
    """Each method against the base (2-means masking, if it is there), in style and leakage, by paired differences."""
    if len(scored.groups) < 2 or not {style_tag, leak_tag} <= set(scored.tags(judge)):
        return []
    base = base_group(scored.groups)
    methods: dict[str, list[Group]] = defaultdict(list)
    for group in scored.groups:
        if group != base:
            methods[group.method].append(group)
    told = [_told(scored, judge, base, members, (style_tag, leak_tag)) for members in methods.values()]
    return [_standing(scored, judge, base, (style_tag, leak_tag)), *told]


def _not_beaten(members: Sequence[tuple[Group, float, float]]) -> list[Group]:
    return [
        group
        for group, style, leak in members
        if not any(s >= style and k <= leak and (s > style or k < leak) for _, s, k in members)
    ]


def _standing(scored: Scored, judge: str, base: Group, tags: tuple[str, str]) -> str:
    cells = ((tag, Cell.of(tag, scored.estimate(base, judge, tag))) for tag in tags)
    values = [f"{tag_of(tag).title} {cell.value} {cell.interval}" for tag, cell in cells if isinstance(cell, Cell)]
    return f"{base.title}, which the others are compared with: {', '.join(value.strip() for value in values)}."


def _told(scored: Scored, judge: str, base: Group, members: Sequence[Group], tags: tuple[str, str]) -> str:
    title = TITLES.get(members[0].method, members[0].method)
    try:
        compared = [_against(scored, judge, group, base, tags) for group in members]
    except ValueError as error:
        return f"{title} cannot be compared in pairs: {error}"
    subject = f"The {len(members)} settings of {title}" if len(members) > 1 else title
    return f"{subject}: {'; '.join(_verdicts(compared))}. {_nearest(compared, tags)}"


def _against(scored: Scored, judge: str, group: Group, base: Group, tags: tuple[str, str]) -> Against:
    style, leak = (scored.difference(group, base, judge, tag) for tag in tags)
    return Against(group, style, leak)


def _verdicts(compared: Sequence[Against]) -> list[str]:
    """How many settings are shown to be where; those of the most telling places by name."""
    places: dict[str, list[Group]] = defaultdict(list)
    for each in compared:
        places[each.verdict].append(each.group)
    unsettled = places.pop("", [])
    only = len(compared) == 1
    told = [
        verdict if only else f"{len(groups)} with {verdict}{_named(groups, verdict)}"
        for verdict, groups in sorted(places.items(), key=lambda item: ("no " not in item[0], item[0]))
    ]
    open_question = "the intervals do not settle both style and leakage"
    return told + ([open_question if only else f"for {len(unsettled)} {open_question}"] if unsettled else [])


def _named(groups: Sequence[Group], verdict: str) -> str:
    if "no " not in verdict or not groups[0].setting:
        return ""
    more = f" and {len(groups) - _MOST_NAMED} more" if len(groups) > _MOST_NAMED else ""
    return f" ({'; '.join(group.setting for group in groups[:_MOST_NAMED])}{more})"


def _nearest(compared: Sequence[Against], tags: tuple[str, str]) -> str:
    """The setting that leaks most nearly as the base does, and its style there."""
    each = min(compared, key=lambda one: abs(one.leak.mean))
    in_style, in_leak = (
        f"{number(found.mean, tag, True)} [{number(found.low, tag, True)}, {number(found.high, tag, True)}]"
        for tag, found in zip(tags, (each.style, each.leak), strict=True)
    )
    words = "more style" if each.style.low > 0 else "less style" if each.style.high < 0 else "no settled difference"
    subject = f"Nearest in leak rate, {each.group.setting}: {words}" if len(compared) > 1 else "Paired differences"
    return f"{subject}, {tag_of(tags[0]).title} {in_style}, leak rate {in_leak} points."
