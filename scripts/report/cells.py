"""What tables are made of: names and units of the scores, numbers with their intervals, and the table itself."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from callbacks.scoring.bootstrap import Difference, Estimate
from callbacks.scoring.scored import MASKED

NOTHING = "–"


class Tag(NamedTuple):
    """How a score is called and written."""

    title: str
    better: Literal["↑", "↓", ""] = ""  # whether more or less of it is better; "" where neither is
    is_rate: bool = False  # a share of pictures or elements, shown in per cent; all else is near a cosine

    @property
    def header(self) -> str:
        """Title with the direction that is better."""
        return f"{self.title} {self.better}".strip()


TAGS = {
    "alignment/text": Tag("text alignment", "↑"),
    "alignment/image": Tag("image alignment", "↑"),
    "alignment/content": Tag("content alignment", "↓"),
    "alignment/style_difference": Tag("image less content alignment", "↑"),
    "leakage/leaked": Tag("leak rate", "↓", is_rate=True),
    "leakage/leaked_among_all": Tag("leak rate among all contents", "↓", is_rate=True),
    "published/fidelity": Tag("published fidelity", "↑", is_rate=True),
    "published/style_score": Tag("published style score", "↑"),
    "published/leakage_score": Tag("published leakage score", "↓"),
    "agreement/style": Tag("style agreement", "↑", is_rate=True),
    "agreement/prompt": Tag("prompt agreement", "↑", is_rate=True),
    "diversity": Tag("diversity"),
    MASKED: Tag("share masked", is_rate=True),
}


def tag_of(tag: str) -> Tag:
    """Names of the score `tag`; those of an unknown one are its own."""
    return TAGS.get(tag) or Tag(tag)


class Cell(NamedTuple):
    """Mean of one score, or of its paired differences, with the interval over references."""

    tag: str
    mean: float
    low: float | None  # None: one reference alone has no interval
    high: float | None
    n: int  # pictures, or pairs of them
    is_difference: bool = False

    @classmethod
    def of(cls, tag: str, found: Estimate | Difference | None) -> "Cell | str":
        """The cell of an estimate or difference; a dash for None."""
        if found is None:
            return NOTHING
        if isinstance(found, Difference):
            references, pictures = found.references, found.pairs
        else:
            references, pictures = len(found.references), sum(found.counts)
        low, high = (found.low, found.high) if references > 1 else (None, None)
        return cls(tag, found.mean, low, high, pictures, isinstance(found, Difference))

    @property
    def value(self) -> str:
        """The mean as text: "41.7 %", "0.252", "+0.022"; a difference of rates is in points: "+2.2"."""
        unit = " %" if tag_of(self.tag).is_rate and not self.is_difference else ""
        return f"{number(self.mean, self.tag, self.is_difference)}{unit}"

    @property
    def interval(self) -> str:
        """The interval as text: "[37.5, 45.8]"; "" without one."""
        if self.low is None or self.high is None:
            return ""
        low, high = (number(value, self.tag, self.is_difference) for value in (self.low, self.high))
        return f"[{low}, {high}]"


def number(value: float, tag: str, signed: bool = False) -> str:
    """A score as text: rates in per cent with one decimal, all else with three."""
    scale, decimals = (100, 1) if tag_of(tag).is_rate else (1, 3)
    return f"{round(scale * value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f}"  # adding 0.0: no "-0.0"


class Table(NamedTuple):
    """One table; the first column names the rows."""

    name: str  # of its files, without suffix
    title: str
    note: str  # judge, counts, how to read it
    headers: list[str]
    rows: list[list[Cell | str]]

    @property
    def usual_n(self) -> int | None:
        """What the note tells; cells of another n tell their own."""
        return usual_n(self.rows)


def usual_n(rows: Sequence[Sequence[Cell | str]]) -> int | None:
    """The most common n among the cells, the first of them on a tie; None without numbers."""
    counts = Counter(cell.n for row in rows for cell in row if isinstance(cell, Cell))
    return counts.most_common(1)[0][0] if counts else None
