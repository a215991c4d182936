"""What tables are made of: names and units of the scores, numbers with their intervals, and the table itself."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from callbacks.scoring.bootstrap import Difference, Estimate
from callbacks.scoring.scored import MASKED

NOTHING = "–"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.do"],
)
_MARKDOWN = re.compile(r"([\\`*_<|#\[\]])")
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {character: f"{{{character}}}" for character in "[]*"}  # which a line break before them would take
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--", "\n": " "}
)


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
    def of(cls, tag: str, found: Estimate | Difference) -> "Cell":
        """The cell of an estimate or a difference."""
        if isinstance(found, Difference):
            references, n = found.references, found.pairs
        else:
            references, n = len(found.means), sum(found.counts)
        low, high = (found.low, found.high) if references > 1 else (None, None)
        return cls(tag, found.mean, low, high, n, isinstance(found, Difference))

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

    @property
    def words(self) -> str:
        """How a sentence tells it: "+2.2 points [-1.0, +3.4]"."""
        points = " points" if tag_of(self.tag).is_rate and self.is_difference else ""
        return f"{self.value}{points} {self.interval}".strip()

    def small(self, usual: int | None) -> list[str]:
        """What stands small beside the mean: the interval, and the count where it is not the `usual` one."""
        return [*filter(None, [self.interval]), *([f"n {self.n}"] if self.n != usual else [])]


def number(value: float, tag: str, signed: bool = False) -> str:
    """A score as text: rates in per cent with one decimal, all else with three."""
    scale, decimals = (100, 1) if tag_of(tag).is_rate else (1, 3)
    return f"{round(scale * value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f}"  # adding 0.0: no "-0.0"


class Table(NamedTuple):
    """One table."""

    name: str  # of its files, without suffix
    title: str
    note: str  # judge, counts, how to read it
    frame: pd.DataFrame  # of cells and texts; the first column names the rows

    def markdown(self) -> str:
        """A heading, the table with its intervals in brackets, and the note."""
        texts = self._texts(markdown_text, lambda value, small: " ".join([value, *small]))
        aligned = ["left", *["right"] * (texts.shape[1] - 1)]
        grid = texts.to_markdown(index=False, colalign=aligned, disable_numparse=True)
        return f"### {markdown_text(self.title)}\n\n{grid}\n\n{markdown_text(self.note)}\n"

    def latex(self) -> str:
        """A floating table for `\\input`, shrunk to the width of the line where it is wider."""
        texts = self._texts(latex_text, _stacked)
        return TEMPLATES.get_template("table.tex.j2").render(table=self, texts=texts, latex=latex_text) + "\n"

    def _texts(self, escaped: Callable[[str], str], written: Callable[[str, list[str]], str]) -> pd.DataFrame:
        usual = usual_n(self.frame)
        told = self.frame.map(
            lambda cell: escaped(cell) if isinstance(cell, str) else written(cell.value, cell.small(usual))
        )
        return told.rename(columns=escaped)


def usual_n(frame: pd.DataFrame) -> int | None:
    """The most common n among the cells, the first of them on a tie; None without numbers. Others tell their own."""
    counts = Counter(cell.n for cell in frame.to_numpy().flat if isinstance(cell, Cell))
    return counts.most_common(1)[0][0] if counts else None


def latex_text(text: str) -> str:
    """`text` with everything escaped that LaTeX would read as a command."""
    return text.translate(_LATEX)


def markdown_text(text: str) -> str:
    """`text` with everything escaped that Markdown would read as a mark."""
    return _MARKDOWN.sub(r"\\\1", text.replace("\n", " "))


def _stacked(value: str, small: list[str]) -> str:
    """The mean above what stands small, with minus signs in place of hyphens."""
    value, *small = (part.replace("%", r"\%").replace("-", "$-$") for part in (value, *small))
    return rf"\shortstack[r]{{{value}\\{{\scriptsize {', '.join(small)}}}}}" if small else value


TEMPLATES.filters["usual_n"] = usual_n
