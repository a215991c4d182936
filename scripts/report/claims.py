"""What paired differences allow to be said, in sentences; never more than their intervals allow."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from callbacks.scoring.bootstrap import Difference
from callbacks.scoring.groups import title_of
from callbacks.scoring.scored import Group, Scored
from scripts.report.cells import Cell, tag_of
from scripts.report.tables import IMAGE, LEAKED_AMONG_ALL, base_group, methods_of

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
    def is_better(self) -> bool:
        """Whether it is better in one and not shown to be worse in the other."""
        style, leak = self.style.verdict, self.leak.verdict
        return (style, leak) != ("", "") and style != "lower" and leak != "higher"

    @property
    def words(self) -> str:
        """ "higher image alignment, lower leakage"; what the references cannot tell is said to be so."""
        told = (self.style.verdict, tag_of(self.style.tag).title), (self.leak.verdict, "leakage")
        return ", ".join(f"{verdict} {name}" if verdict else f"{name} not told apart" for verdict, name in told)


def front(
    scored: Scored, judge: str, style_tag: str = IMAGE, leak_tag: str = LEAKED_AMONG_ALL
) -> dict[str, list[Group]]:
    """For each method its settings that no other one beats: as much style, as little leakage, and one better."""
    fronts = {}
    for method, groups in methods_of(scored.groups).items():
        found = [
            (each, scored.estimate(each, judge, style_tag), scored.estimate(each, judge, leak_tag)) for each in groups
        ]
        means = [(group, style.mean, leak.mean) for group, style, leak in found if style and leak]
        if means:
            fronts[method] = [
                group
                for group, style, leak in means
                if not any(s >= style and k <= leak and (s, k) != (style, leak) for _, s, k in means)
            ]
    return fronts


def claims(scored: Scored, judge: str, style_tag: str = IMAGE, leak_tag: str = LEAKED_AMONG_ALL) -> list[str]:
    """Each method against the base (2-means masking, if it is there), in style and leakage."""
    tags = style_tag, leak_tag
    if len(scored.groups) < 2 or not {*tags} <= set(scored.tags(judge)):
        return []
    base = base_group(scored.groups)
    found = [(tag, scored.estimate(base, judge, tag)) for tag in tags]
    values = ", ".join(f"{tag_of(tag).title} {Cell.of(tag, each).words}" for tag, each in found if each)
    others = methods_of([group for group in scored.groups if group != base])
    return [
        f"{base.title}, which the others are compared with: {values}.",
        *(_told(scored, judge, base, members, tags) for members in others.values()),
    ]


def _told(scored: Scored, judge: str, base: Group, members: Sequence[Group], tags: tuple[str, str]) -> str:
    """How many settings are shown to be where, the better ones first and by name; then the nearest in leakage."""
    title, several = title_of(members[0].method), len(members) > 1
    found = []
    for each in members:
        try:
            differences = [scored.difference(each, base, judge, tag) for tag in tags]
        except ValueError as error:
            return f"{title} cannot be compared in pairs: {error}"
        pair = (Compared(each.title, base.title, *told) for told in zip(tags, differences, strict=True))
        found.append(Against(each, *pair))
    places: dict[str, list[Against]] = defaultdict(list)
    for one in sorted(found, key=lambda one: (not one.is_better, not (one.style.verdict or one.leak.verdict))):
        places[one.words].append(one)
    verdicts = [f"{len(each)} with {words}{_named(each)}" if several else words for words, each in places.items()]
    nearest = min(found, key=lambda one: abs(one.leak.difference.mean))
    where = f"Nearest in leak rate, {nearest.group.setting}" if several else "Paired differences"
    told = ", ".join(f"{tag_of(one.tag).title} {one.words}" for one in (nearest.style, nearest.leak))
    subject = f"The {len(found)} settings of {title}" if several else title
    return f"{subject}: {'; '.join(verdicts)}. {where}: {told}."


def _named(members: Sequence[Against]) -> str:
    settings = [each.group.setting for each in members if each.is_better and each.group.setting]
    more = f" and {len(settings) - _MOST_NAMED} more" if len(settings) > _MOST_NAMED else ""
    return f" ({'; '.join(settings[:_MOST_NAMED])}{more})" if settings else ""
