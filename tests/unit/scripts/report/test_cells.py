"""Numbers and their intervals as text; tables hold every number, and nothing in a name breaks them."""

import re

import pandas as pd
import pytest

from callbacks.scoring.bootstrap import Difference, Estimate
from scripts.report.cells import TAGS, TEMPLATES, Cell, Table, number, tag_of, usual_n
from tests.unit.scripts.html_structure import Structure
from tests.unit.scripts.report.scored_folder import SCORES

NASTY = r"A_b & 50 % <b>|x|</b> #1 {y} \z ^~ $ [w] *"
RATE, COSINE = "leakage/leaked", "alignment/text"


@pytest.mark.parametrize(
    ("value", "tag", "signed", "shown"),
    [
        (0.41666, RATE, False, "41.7"),
        (0.2525, COSINE, False, "0.253"),
        (-0.0625, COSINE, True, "-0.062"),
        (0.0219, COSINE, True, "+0.022"),
        (-0.00001, COSINE, True, "+0.000"),
        (-0.00001, RATE, False, "0.0"),
        (1.0, RATE, False, "100.0"),
    ],
)
def test_number(value: float, tag: str, signed: bool, shown: str) -> None:
    assert number(value, tag, signed) == shown


@pytest.mark.parametrize(
    ("tag", "found", "value", "interval", "n"),
    [
        (RATE, Estimate(0.4, 0.25, 0.5, [0, 3], [0.2, 0.6], [5, 5]), "40.0 %", "[25.0, 50.0]", 10),
        (COSINE, Estimate(0.4, 0.4, 0.4, [3], [0.4], [5]), "0.400", "", 5),  # one reference has no interval
        (RATE, Difference(0.022, -0.01, 0.034, 7, 3), "+2.2", "[-1.0, +3.4]", 7),
        (COSINE, Difference(0.022, -0.01, 0.034, 7, 3), "+0.022", "[-0.010, +0.034]", 7),
    ],
)
def test_a_cell(tag: str, found: Estimate | Difference, value: str, interval: str, n: int) -> None:
    cell = Cell.of(tag, found)
    assert (cell.value, cell.interval, cell.n) == (value, interval, n)


def test_every_score_has_a_name_and_published_ones_say_so() -> None:
    assert set(SCORES) < set(TAGS)
    assert all(TAGS[tag].title.startswith("published ") == tag.startswith("published/") for tag in SCORES)
    assert tag_of("leakage/leaked").header == "leak rate ↓"
    assert tag_of("published/fidelity").header == "published fidelity ↑"
    assert tag_of("somebody/else").header == "somebody/else"


@pytest.fixture
def table() -> Table:
    cells = [
        Cell("leakage/leaked", 0.4167, 0.25, 0.5, 24),
        Cell("alignment/text", -0.0412, -0.05, -0.03, 24, is_difference=True),
        Cell("leakage/leaked", 1.0, None, None, 12),
    ]
    frame = pd.DataFrame([[NASTY, *cells], ["x", *"–––"]], columns=["method", "leak rate ↓", "b", "c"])
    return Table("a-table", f"Title {NASTY}", "A note.", frame)


def test_usual_n_is_the_most_common(table: Table) -> None:
    assert usual_n(table.frame) == 24
    assert usual_n(table.frame[["method"]]) is None


def test_markdown(table: Table) -> None:
    heading, _, headers, rule, first, second, _, note = table.markdown().splitlines()
    assert heading.startswith("### Title A\\_b & 50 % \\<b>\\|x\\|\\</b> \\#1")
    assert re.split(r" *\| *", headers)[1:-1] == ["method", "leak rate ↓", "b", "c"]
    assert re.fullmatch(r"\|:-+\|-+:\|-+:\|-+:\|", rule)
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", first)[2:-1]]
    assert cells == ["41.7 % [25.0, 50.0]", "-0.041 [-0.050, -0.030]", "100.0 % n 12"]
    assert re.split(r" *\| *", second)[1:-1] == ["x", "–", "–", "–"]
    assert note == "A note."


def test_latex(table: Table) -> None:
    text = table.latex()
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    rules = [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == sorted(rules)
    for expected in (
        r"\begin{tabular}{lrrr}",
        r"\shortstack[r]{41.7 \%\\{\scriptsize [25.0, 50.0]}}",
        r"\shortstack[r]{$-$0.041\\{\scriptsize [$-$0.050, $-$0.030]}}",
        r"\shortstack[r]{100.0 \%\\{\scriptsize n 12}}",
        r"leak rate $\downarrow$",
        r"\label{tab:a-table}",
        r"    A\_b \& 50 \% \textless{}b\textgreater{}\textbar{}x\textbar{}",  # at the beginning of a row
        r"\#1 \{y\} \textbackslash{}z \textasciicircum{}\textasciitilde{} \$ {[}w{]} {*}",
    ):
        assert expected in text


def test_latex_is_balanced_and_every_row_has_all_columns(table: Table) -> None:
    plain = re.sub(r"\\[\\&%$#_{}]", "", table.latex())
    depths = [plain[:place].count("{") - plain[:place].count("}") for place in range(len(plain) + 1)]
    assert min(depths) == depths[-1] == 0
    body = table.latex().split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [len(re.findall(r"(?<!\\)&", row)) for row in body] == [3, 3]
    assert all(row.endswith(r" \\") for row in body)


def test_html(table: Table) -> None:
    page = TEMPLATES.get_template("parts.html.j2").module.scores(table)
    parser = Structure(page)
    assert not parser.open
    assert parser.values == [NASTY, "0.4167", "-0.0412", "1", "x", "–", "–", "–"]
    assert {NASTY, "41.7 %", "[25.0, 50.0]", "n 12", "leak rate ↓", f"Title {NASTY}"} < {
        each.strip() for each in parser.words
    }
    assert '<table class="sortable">' in page
    assert "<b>" not in page
