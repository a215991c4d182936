"""What the scores allow to be said about style and leakage, in sentences; never more than the intervals allow."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from callbacks.scoring.bootstrap import Difference
from callbacks.scoring.scored import Group, Scored
from callbacks.scoring.titles import title_of
from scripts.report.cells import Cell, tag_of
from scripts.report.tables import base_group

STYLE, LEAK = "alignment/image", "leakage/leaked_among_all"
_MOST_NAMED = 3
_FEWEST = 6  # references: with fewer, all of one sign by chance alone (1 time in 16) exclude 0


class Against(NamedTuple):
    """One setting against the base: paired differences in style and in leakage."""

    group: Group
    style: Difference
    leak: Difference

    @property
    def directions(self) -> tuple[str, str]:
        """Of style and leakage: "more", "less", or "" where the references cannot tell."""
        return _direction(self.style), _direction(self.leak)

    @property
    def is_better(self) -> bool:
        """Whether it is better in one and not shown to be worse in the other."""
        style, leak = self.directions
        return (style, leak) != ("", "") and style != "less" and leak != "more"


def _direction(difference: Difference) -> str:
    if difference.references < _FEWEST or difference.low <= 0 <= difference.high:
        return ""
    return "more" if difference.mean > 0 else "less"


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
    title = title_of(members[0].method)
    try:
        compared = [_against(scored, judge, group, base, tags) for group in members]
    except ValueError as error:
        return f"{title} cannot be compared in pairs: {error}"
    subject = f"The {len(members)} settings of {title}" if len(members) > 1 else title
    return f"{subject}: {'; '.join(_verdicts(compared, tags))}. {_nearest(compared, tags)}"


def _against(scored: Scored, judge: str, group: Group, base: Group, tags: tuple[str, str]) -> Against:
    style, leak = (scored.difference(group, base, judge, tag) for tag in tags)
    return Against(group, style, leak)


def _verdicts(compared: Sequence[Against], tags: tuple[str, str]) -> list[str]:
    """How many settings are shown to be where, the better ones first and by name."""
    places: dict[tuple[str, str], list[Against]] = defaultdict(list)
    for each in sorted(compared, key=lambda one: (not one.is_better, one.directions == ("", ""))):
        places[each.directions].append(each)
    if len(compared) == 1:
        return [_words(directions, tags) for directions in places]
    return [f"{len(each)} with {_words(found, tags)}{_named(each)}" for found, each in places.items()]


def _words(directions: tuple[str, str], tags: tuple[str, str]) -> str:
    """ "more image alignment, less leakage"; what the references cannot tell is said to be so."""
    told = zip(directions, (tag_of(tags[0]).title, "leakage"), strict=True)
    return ", ".join(f"{word} {name}" if word else f"{name} not told apart" for word, name in told)


def _named(members: Sequence[Against]) -> str:
    settings = [each.group.setting for each in members if each.is_better and each.group.setting]
    more = f" and {len(settings) - _MOST_NAMED} more" if len(settings) > _MOST_NAMED else ""
    return f" ({'; '.join(settings[:_MOST_NAMED])}{more})" if settings else ""


def _nearest(compared: Sequence[Against], tags: tuple[str, str]) -> str:
    """The setting that leaks most nearly as the base does, and its style there."""
    each = min(compared, key=lambda one: abs(one.leak.mean))
    cells = (Cell.of(tag, found) for tag, found in zip(tags, (each.style, each.leak), strict=True))
    told = [
        f"{tag_of(cell.tag).title} {cell.value}{' points' * tag_of(cell.tag).is_rate} {cell.interval}".rstrip()
        for cell in cells
        if isinstance(cell, Cell)
    ]
    subject = f"Nearest in leak rate, {each.group.setting}" if len(compared) > 1 else "Paired differences"
    return f"{subject}: {', '.join(told)}."
