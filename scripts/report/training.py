"""What the training curves say beside what was published, whichever way the numbers fall."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from callbacks.scoring.bootstrap import Difference, Estimate, resampled_counts
from callbacks.scoring.groups import TITLES
from callbacks.scoring.scored import MASKED, Group, Scored
from scripts.report.cells import Cell, tag_of
from scripts.report.claims import Compared, Verdict
from scripts.report.tables import IMAGE, LEAKED, LEAKED_AMONG_ALL, TEXT, Asked, crossed

TUNING_FREE = ("ip_adapter", "instantstyle", "masking")
ADAPTERS = ("image_adapter", "text_adapter")
SCORES = (TEXT, IMAGE, LEAKED)
_LEVELS = 51  # over which an average over text alignments is taken
Numbers = NDArray[np.float64]


class Training:
    """The scores of all runs together: methods that need no training, and two adapters along their steps."""

    def __init__(self, scored: Scored) -> None:
        self.scored, self.judge = scored, scored.judges[0]
        found = {method: [each for each in scored.groups if each.method == method] for method in TUNING_FREE + ADAPTERS}
        missing = [method for method, groups in found.items() if not groups]
        if missing:
            raise ValueError(f"`{scored.folder}` holds no scores of {missing[0]}. Remove the folder and start again.")
        self.tuning_free = {method: found[method][0] for method in TUNING_FREE}
        self.curves = {method: sorted(found[method], key=lambda group: group.step or 0) for method in ADAPTERS}

    @property
    def groups(self) -> list[Group]:
        """All evaluations, the tuning-free ones first."""
        return [*self.tuning_free.values(), *chain(*self.curves.values())]

    @property
    def telling(self) -> list[Group]:
        """Of each adapter the untrained, the `best` and the last, behind the tuning-free ones."""
        ends = {method: (curve[0], self.best(method), curve[-1]) for method, curve in self.curves.items()}
        return [group for group in self.groups if group in ends.get(group.method, (group,))]

    def steps(self, method: str = ADAPTERS[0]) -> list[int]:
        """The evaluated steps of an adapter."""
        return [group.step or 0 for group in self.curves[method]]

    def means(self, groups: Sequence[Group], most: int | None = None) -> pd.DataFrame:
        """The first `most` scores of some evaluations."""
        tags = [tag for tag in (*SCORES, LEAKED_AMONG_ALL, MASKED)[:most] if tag in self.scored.tags(self.judge)]
        rows: Asked = [(label(group), {"group": group}) for group in groups]
        columns: Asked = [(tag_of(tag).title, {"tag": tag}) for tag in tags]
        return crossed(self.scored, self.judge, "method", rows, columns)

    def estimate(self, group: Group, tag: str, **where: str) -> Estimate:
        """One score of one evaluation, or of those of its pictures that `where` chooses."""
        found = self.scored.estimate(group, self.judge, tag, **where)
        assert found is not None  # a CLIP gives these of every picture
        return found

    def cell(self, group: Group, tag: str) -> Cell:
        """That score as tables and sentences tell it."""
        return Cell.of(tag, self.estimate(group, tag))

    def compare(self, a: Group, b: Group, tag: str) -> Compared:
        """`a` less `b` in one score."""
        return Compared(label(a), label(b), tag, self.scored.difference(a, b, self.judge, tag))

    def best(self, method: str) -> Group:
        """The evaluation of the highest text alignment, the first of them on a tie."""
        return max(self.curves[method], key=lambda group: self.estimate(group, TEXT).mean)


class Finding(NamedTuple):
    """One comparison: a sentence, the paired difference behind it, and what was published about it."""

    sentence: str
    compared: Compared
    published: Verdict = ""  # nothing was published about it
    claim: str = ""  # the published reading in words

    @property
    def agreement(self) -> str:
        """How the published result stands here: "seen", "the opposite", "not shown", or "" without one."""
        if not self.published:
            return ""
        return {self.published: "seen", "": "not shown"}.get(self.compared.verdict, "the opposite")

    @property
    def facts(self) -> dict[str, Any]:
        """All of it by name."""
        told = {"sentence": self.sentence, **self.compared.difference._asdict(), "verdict": self.compared.verdict}
        return {**told, "claim": self.claim, "published": self.published, "agreement": self.agreement}


def label(group: Group) -> str:
    """How a sentence calls a method, with the step where there are several."""
    return TITLES[group.method] + (f" at step {group.step}" if group.method in ADAPTERS else "")


def findings(training: Training) -> dict[str, list[Finding]]:
    """All comparisons by what they are about, in the order in which the report tells them."""

    def find(a: Group, b: Group, tag: str, published: Verdict = "") -> Finding:
        compared, values = training.compare(a, b, tag), (training.cell(group, tag).value for group in (a, b))
        claim = f"{label(a)} has a {published} {tag_of(tag).title} than {label(b)}." if published else ""
        return Finding(compared.sentence(values=f": {' against '.join(values)}"), compared, published, claim)

    ip_adapter, instantstyle, masking = training.tuning_free.values()
    pairs = [(masking, instantstyle), (masking, ip_adapter), (instantstyle, ip_adapter)]
    published: dict[str, Verdict] = {TEXT: "higher", IMAGE: "", LEAKED: "lower"}
    image_adapter, text_adapter = (training.curves[method][-1] for method in ADAPTERS)
    best = [training.best(method) for method in ADAPTERS]
    return {
        "tuning_free": [find(a, b, tag, published[tag]) for tag in SCORES for a, b in pairs],
        "curves": [*_at_equal_text(training), *(find(image_adapter, text_adapter, tag) for tag in SCORES)],
        "tuned": [find(masking, each, tag) for each in best for tag in SCORES],
    }


def headline(found: Sequence[Finding]) -> str:
    """How many of the published readings are seen."""
    counts = Counter(each.agreement for each in found if each.published)
    return (
        f"Of {counts.total()} published readings {counts['seen']} are seen here, the opposite of "
        f"{counts['the opposite']} is seen, and {counts['not shown']} are not shown either way."
    )


def course(training: Training, method: str) -> str:
    """How one adapter's alignments run along the steps."""

    def change(b: Group, tag: str) -> str:
        found = training.compare(end, b, tag)
        return f"{f'{found.verdict} than at step {b.step}' if found.verdict else found.untold}: {found.words}"

    start, end, best = training.curves[method][0], training.curves[method][-1], training.best(method)
    first, highest, last = (training.cell(group, TEXT).value for group in (start, best, end))
    text = f"{TITLES[method]}: text alignment goes from {first} untrained to {highest} at step {best.step}, its highest"
    if best is start:
        text = f"{TITLES[method]}: text alignment is highest untrained, at {first}"
    if best is not end:
        text += f", and is {last} at step {end.step} ({change(best, TEXT)})"
    first, last = (training.cell(group, IMAGE).value for group in (start, end))
    return f"{text}. Image alignment goes from {first} to {last} ({change(start, IMAGE)})."


def first_reached(text: Numbers, image: Numbers, level: Numbers) -> Numbers:
    """Image alignment where each curve first reaches its text alignment `level`.

    `text` and `image` are (curves, steps), `level` is (curves,) and at most the maximum of its curve.
    """
    rows = np.arange(len(text))
    after = np.argmax(text >= level[:, None], axis=1)
    before = np.maximum(after - 1, 0)
    rise = text[rows, after] - text[rows, before]
    part = np.divide(level - text[rows, before], rise, out=np.ones_like(rise), where=rise > 0)
    first: Numbers = image[rows, before] + part * (image[rows, after] - image[rows, before])
    return first


def at_equal_text(training: Training) -> tuple[tuple[float, float], Difference, Difference]:
    """Image alignment of the Image-Adapter less that of the Text-Adapter at the same text alignment.

    Between evaluated steps curves run straight. In each resample of the references both curves, the levels and the
    places where the curves first reach them are found anew, so that the intervals hold their uncertainty too. Told are
    the lowest and the highest text alignment that both curves pass, the difference at the highest, and its average.
    """
    counts = torch.tensor(training.estimate(training.groups[0], TEXT).counts)
    pictures = np.vstack([counts, resampled_counts(counts).numpy()])  # as evaluated, then resampled
    weights = pictures / pictures.sum(axis=1, keepdims=True)
    (text_a, image_a), (text_b, image_b) = (
        [weights @ np.array([training.estimate(group, tag).means for group in curve]).T for tag in (TEXT, IMAGE)]
        for curve in training.curves.values()
    )
    highest = np.minimum(text_a.max(axis=1), text_b.max(axis=1))
    lowest = np.minimum(np.maximum(text_a[:, 0], text_b[:, 0]), highest)
    levels = [lowest + share * (highest - lowest) for share in np.linspace(0, 1, _LEVELS)]
    gaps = [first_reached(text_a, image_a, level) - first_reached(text_b, image_b, level) for level in levels]
    told = np.stack([gaps[-1], np.mean(gaps, axis=0)])  # (2, 1 + resamples)
    means, (lows, highs) = told[:, 0].tolist(), np.quantile(told[:, 1:], [0.025, 0.975], axis=1).tolist()
    at_highest, averaged = (
        Difference(*each, int(counts.sum()), len(counts)) for each in zip(means, lows, highs, strict=True)
    )
    return (float(lowest[0]), float(highest[0])), at_highest, averaged


def _at_equal_text(training: Training) -> list[Finding]:
    levels, at_highest, averaged = at_equal_text(training)
    low, high = (f"{level:.3f}" for level in levels)
    a, b = (TITLES[method] for method in ADAPTERS)
    highest, over = (Compared(a, b, IMAGE, each) for each in (at_highest, averaged))
    where = f"Where both curves first reach a text alignment of {high}, the highest that both reach, "
    way = f"Averaged over the text alignments that both curves pass on their way up, {low} to {high}, "
    claim = f"At equal text alignment, {a} has a higher image alignment than {b}."
    return [Finding(highest.sentence(where), highest, "higher", claim), Finding(over.sentence(way), over)]
