"""What paired differences allow to be said, in sentences; never more than their intervals allow."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from callbacks.scoring.bootstrap import Difference
from callbacks.scoring.groups import title_of
from callbacks.scoring.scored import Group, Scored
from scripts.report.cells import Cell, tag_of
from scripts.report.tables import IMAGE, LEAKED_AMONG_ALL, base_group

Verdict = Literal["higher", "lower", ""]  # "" where the references cannot tell
_MOST_NAMED = 3
_FEWEST = 6  # references: with fewer, all of one sign by chance alone (1 time in 16) exclude 0


class Compared(NamedTuple):
    """One score of `a` less that of `b`."""

    a: str
    b: str
    tag: str
    difference: Difference

    @property
    def verdict(self) -> Verdict:
        """How `a` stands to `b`, where the interval excludes 0."""
        if self.difference.references < _FEWEST or self.difference.low <= 0 <= self.difference.high:
            return ""
        return "higher" if self.difference.mean > 0 else "lower"

    @property
    def words(self) -> str:
        """The difference with its interval: "+2.2 points [+1.0, +3.4]"."""
        return Cell.of(self.tag, self.difference).words

    @property
    def untold(self) -> str:
        """How a sentence calls what the references cannot tell."""
        return f"no difference that {self.difference.references} references can show"

    def sentence(self, lead: str = "", values: str = "") -> str:
        """What is said of both, behind `lead`, with their `values`."""
        score = tag_of(self.tag).title
        told = f"{self.a} has a {self.verdict} {score} than {self.b}"
        if not self.verdict:
            told = f"{self.a} and {self.b} show {self.untold} in {score}"
        return f"{lead}{told}{values} ({self.words})."


class Against(NamedTuple):
    """One setting against the base in style and in leakage."""

    group: Group
    style: Compared
    leak: Compared

    @property
    def verdicts(self) -> tuple[Verdict, Verdict]:
        """Of style and leakage."""
        return self.style.verdict, self.leak.verdict

    @property
    def is_better(self) -> bool:
        """Whether it is better in one and not shown to be worse in the other."""
        style, leak = self.verdicts
        return (style, leak) != ("", "") and style != "lower" and leak != "higher"


def compare(scored: Scored, a: Group, b: Group, judge: str, tag: str) -> Compared:
    """Group `a` against group `b`, whose pictures must be of one grid."""
    return Compared(a.title, b.title, tag, scored.difference(a, b, judge, tag))


def front(
    scored: Scored, judge: str, style_tag: str = IMAGE, leak_tag: str = LEAKED_AMONG_ALL
) -> dict[str, list[Group]]:
    """For each method its settings that no other one beats: as much style, as little leakage, and one better."""
    methods: dict[str, list[tuple[Group, float, float]]] = defaultdict(list)
    for group in scored.groups:
        style, leak = scored.estimate(group, judge, style_tag), scored.estimate(group, judge, leak_tag)
        if style is not None and leak is not None:
            methods[group.method].append((group, style.mean, leak.mean))
    return {
        method: [
            group
            for group, style, leak in members
            if not any(s >= style and k <= leak and (s, k) != (style, leak) for _, s, k in members)
        ]
        for method, members in methods.items()
    }


def claims(scored: Scored, judge: str, style_tag: str = IMAGE, leak_tag: str = LEAKED_AMONG_ALL) -> list[str]:
    """Each method against the base (2-means masking, if it is there), in style and leakage."""
    tags = style_tag, leak_tag
    if len(scored.groups) < 2 or not {*tags} <= set(scored.tags(judge)):
        return []
    base = base_group(scored.groups)
    methods: dict[str, list[Group]] = defaultdict(list)
    for group in scored.groups:
        if group != base:
            methods[group.method].append(group)
    found = [(tag, scored.estimate(base, judge, tag)) for tag in tags]
    values = ", ".join(f"{tag_of(tag).title} {Cell.of(tag, each).words}" for tag, each in found if each)
    standing = f"{base.title}, which the others are compared with: {values}."
    return [standing, *(_told(scored, judge, base, members, tags) for members in methods.values())]


def _told(scored: Scored, judge: str, base: Group, members: Sequence[Group], tags: tuple[str, str]) -> str:
    title = title_of(members[0].method)
    try:
        found = [Against(each, *(compare(scored, each, base, judge, tag) for tag in tags)) for each in members]
    except ValueError as error:
        return f"{title} cannot be compared in pairs: {error}"
    subject = f"The {len(members)} settings of {title}" if len(members) > 1 else title
    return f"{subject}: {'; '.join(_verdicts(found))}. {_nearest(found)}"


def _verdicts(found: Sequence[Against]) -> list[str]:
    """How many settings are shown to be where, the better ones first and by name."""
    places: dict[tuple[Verdict, Verdict], list[Against]] = defaultdict(list)
    for each in sorted(found, key=lambda one: (not one.is_better, one.verdicts == ("", ""))):
        places[each.verdicts].append(each)
    told = {verdicts: _words(members[0]) for verdicts, members in places.items()}
    if len(found) == 1:
        return [*told.values()]
    return [f"{len(members)} with {told[verdicts]}{_named(members)}" for verdicts, members in places.items()]


def _words(against: Against) -> str:
    """ "higher image alignment, lower leakage"; what the references cannot tell is said to be so."""
    told = zip(against.verdicts, (tag_of(against.style.tag).title, "leakage"), strict=True)
    return ", ".join(f"{verdict} {name}" if verdict else f"{name} not told apart" for verdict, name in told)


def _named(members: Sequence[Against]) -> str:
    settings = [each.group.setting for each in members if each.is_better and each.group.setting]
    more = f" and {len(settings) - _MOST_NAMED} more" if len(settings) > _MOST_NAMED else ""
    return f" ({'; '.join(settings[:_MOST_NAMED])}{more})" if settings else ""


def _nearest(found: Sequence[Against]) -> str:
    """The setting that leaks most nearly as the base does, and its style there."""
    each = min(found, key=lambda one: abs(one.leak.difference.mean))
    told = ", ".join(f"{tag_of(one.tag).title} {one.words}" for one in (each.style, each.leak))
    return f"{f'Nearest in leak rate, {each.group.setting}' if len(found) > 1 else 'Paired differences'}: {told}."
