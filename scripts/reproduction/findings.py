"""What the numbers say in words, whichever way they fall, beside what was published."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from callbacks.scoring.titles import TITLES
from scripts.reproduction.differences import Difference, at_equal_text, paired_difference
from scripts.reproduction.results import ADAPTERS, IMAGE, LEAKED, RATES, TEXT, Evaluation, Results

NAMES = {TEXT: "text alignment", IMAGE: "image alignment", LEAKED: "leak rate"}
Direction = Literal["higher", "lower"]


class Finding(NamedTuple):
    """One comparison: a sentence, the paired difference behind it, and what was published about it."""

    sentence: str
    difference: Difference
    published: Direction | None = None  # None: nothing was published about it
    claim: str = ""  # the published reading in words

    @property
    def agreement(self) -> str:
        """How the published result stands here: "seen", "the opposite", "not shown", or "" without one."""
        if self.published is None:
            return ""
        if self.difference.verdict == self.published:
            return "seen"
        return "the opposite" if self.difference.verdict in ("higher", "lower") else "not shown"


class Findings(NamedTuple):
    """All comparisons, in the order in which the report tells them."""

    tuning_free: list[Finding]
    curves: list[Finding]
    courses: list[str]  # how each adapter's curve runs, in words
    tuned: list[Finding]  # masking against the adapters at their best step

    @property
    def published(self) -> list[Finding]:
        """Those about which something was published."""
        return [each for each in [*self.tuning_free, *self.curves] if each.published]

    @property
    def headline(self) -> str:
        """How many of the published readings are seen."""
        counts = Counter(each.agreement for each in self.published)
        return (
            f"Of {len(self.published)} published readings {counts['seen']} are seen here, the opposite of "
            f"{counts['the opposite']} is seen, and {counts['not shown']} are not shown either way."
        )


def find(results: Results) -> Findings:
    """Compare everything that the report speaks of."""
    return Findings(
        tuning_free=_tuning_free(results),
        curves=_curves(results),
        courses=[course(results.curves[method]) for method in ADAPTERS],
        tuned=_tuned(results),
    )


def compare(a: Evaluation, b: Evaluation, tag: str, published: Direction | None = None) -> Finding:
    """`a` against `b` in the score `tag`."""
    difference = paired_difference(a, b, tag)
    values = f": {number(a.scores[tag].mean, tag)} against {number(b.scores[tag].mean, tag)}"
    return _finding((label(a), label(b)), tag, difference, published, tail=values)


def course(curve: Sequence[Evaluation]) -> str:
    """How one adapter's alignments run along the steps."""
    start, best, end = curve[0], best_step(curve), curve[-1]
    title = TITLES[start.method]
    if best is start:
        text = f"{title}: text alignment is highest untrained, at {number(start.scores[TEXT].mean, TEXT)}"
    else:
        text = (
            f"{title}: text alignment goes from {number(start.scores[TEXT].mean, TEXT)} untrained to "
            f"{number(best.scores[TEXT].mean, TEXT)} at step {best.step}, its highest"
        )
    if best is not end:
        text += f", and is {number(end.scores[TEXT].mean, TEXT)} at step {end.step}"
        text += f" ({_change(end, best, TEXT)})"
    change = _change(end, start, IMAGE)
    first, last = (number(each.scores[IMAGE].mean, IMAGE) for each in (start, end))
    return f"{text}. Image alignment goes from {first} to {last} ({change})."


def best_step(curve: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of the highest text alignment, the first of them on a tie."""
    return max(curve, key=lambda each: each.scores[TEXT].mean)


def label(evaluation: Evaluation) -> str:
    """How a sentence calls a method, with the step where there are several."""
    title = TITLES[evaluation.method]
    return f"{title} at step {evaluation.step}" if evaluation.method in ADAPTERS else title


def number(value: float, tag: str, signed: bool = False) -> str:
    """A score as text: rates in per cent (differences of rates in points), cosines with three decimals."""
    sign, is_rate = "+" if signed else "", tag in RATES
    shown = f"{round(100 * value, 1) + 0.0:{sign}.1f}" if is_rate else f"{round(value, 3) + 0.0:{sign}.3f}"  # no "-0.0"
    return f"{shown} {'points' if signed else '%'}" if is_rate else shown


def interval(difference: Difference, tag: str) -> str:
    """A difference as text: "+0.022, 95 % interval +0.010 to +0.034"."""
    mean, low, high = (number(value, tag, signed=True) for value in difference[:3])
    return f"{mean}, 95 % interval {low} to {high}"


def _tuning_free(results: Results) -> list[Finding]:
    ip_adapter, instantstyle, masking = results.tuning_free.values()
    pairs = [(masking, instantstyle), (masking, ip_adapter), (instantstyle, ip_adapter)]
    published: dict[str, Direction | None] = {TEXT: "higher", IMAGE: None, LEAKED: "lower"}
    return [compare(a, b, tag, published[tag]) for tag in NAMES for a, b in pairs]


def _curves(results: Results) -> list[Finding]:
    image_adapter, text_adapter = (results.curves[method] for method in ADAPTERS)
    levels, at_highest, averaged = at_equal_text(image_adapter, text_adapter)
    low, high = (number(level, TEXT) for level in levels)
    names = TITLES[ADAPTERS[0]], TITLES[ADAPTERS[1]]
    where = f"Where both curves first reach a text alignment of {high}, the highest that both reach, "
    over = f"Averaged over the text alignments that both curves pass on their way up, {low} to {high}, "
    equal = [
        _finding(names, IMAGE, at_highest, "higher", where, claim="At equal text alignment, "),
        _finding(names, IMAGE, averaged, None, over),
    ]
    return [*equal, *(compare(image_adapter[-1], text_adapter[-1], tag) for tag in NAMES)]


def _tuned(results: Results) -> list[Finding]:
    masking = results.tuning_free["masking"]
    bests = [best_step(results.curves[method]) for method in ADAPTERS]
    return [compare(masking, best, tag) for best in bests for tag in NAMES]


def _finding(
    names: tuple[str, str],
    tag: str,
    difference: Difference,
    published: Direction | None,
    lead: str = "",
    tail: str = "",
    claim: str = "",
) -> Finding:
    """The finding about `names`, in words before (`lead`) and behind (`tail`) what the difference says."""
    (a, b), score = names, NAMES[tag]
    words = f"{a} and {b} show {difference.verdict} in {score}"
    if difference.verdict in ("higher", "lower"):
        words = f"{a} has a {difference.verdict} {score} than {b}"
    published_words = f"{claim}{a} has a {published} {score} than {b}." if published else ""
    sentence = f"{lead}{words}{tail} ({interval(difference, tag)})."
    return Finding(sentence, difference, published, published_words)


def _change(a: Evaluation, b: Evaluation, tag: str) -> str:
    difference = paired_difference(a, b, tag)
    words = f"{difference.verdict} than at step {b.step}" if difference.verdict in ("higher", "lower") else ""
    return f"{words or difference.verdict}: {interval(difference, tag)}"
