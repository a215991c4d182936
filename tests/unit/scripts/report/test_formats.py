"""Tables as Markdown, LaTeX and HTML hold every number, and nothing in a name breaks them."""

import re

import pytest

from scripts.report.cells import Cell, Table
from scripts.report.formats import html, latex, markdown
from tests.unit.scripts.html_structure import Structure

NASTY = r"A_b & 50 % <b>|x|</b> #1 {y} \z ^~ $ [w] *"


@pytest.fixture
def table() -> Table:
    cells = [
        Cell("leakage/leaked", 0.4167, 0.25, 0.5, 24),
        Cell("alignment/text", -0.0412, -0.05, -0.03, 24, is_difference=True),
        Cell("leakage/leaked", 1.0, None, None, 12),
    ]
    return Table(
        "a-table", f"Title {NASTY}", "A note.", ["method", "leak rate ↓", "b", "c"], [[NASTY, *cells], ["x", *"–––"]]
    )


def test_markdown(table: Table) -> None:
    heading, _, headers, rule, first, second, _, note = markdown(table).splitlines()
    assert heading.startswith("### Title A\\_b & 50 % \\<b>\\|x\\|\\</b> \\#1")
    assert headers == "| method | leak rate ↓ | b | c |"
    assert rule == "| --- | ---: | ---: | ---: |"
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", first)[2:-1]]
    assert cells == ["41.7 % [25.0, 50.0]", "-0.041 [-0.050, -0.030]", "100.0 % n 12"]
    assert second == "| x | – | – | – |"
    assert note == "A note."


def test_latex(table: Table) -> None:
    text = latex(table)
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    rules = [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == sorted(rules)
    assert r"\begin{tabular}{lrrr}" in text
    assert r"\shortstack[r]{41.7 \%\\{\scriptsize [25.0, 50.0]}}" in text
    assert r"\shortstack[r]{$-$0.041\\{\scriptsize [$-$0.050, $-$0.030]}}" in text
    assert r"\shortstack[r]{100.0 \%\\{\scriptsize n 12}}" in text
    assert r"leak rate $\downarrow$" in text
    assert r"\label{tab:a-table}" in text


def test_latex_is_balanced_and_every_row_has_all_columns(table: Table) -> None:
    plain = re.sub(r"\\[\\&%$#_{}]", "", latex(table))
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    body = latex(table).split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [len(re.findall(r"(?<!\\)&", row)) for row in body] == [3, 3]
    assert all(row.endswith(r" \\") for row in body)


def test_latex_escapes_names(table: Table) -> None:
    row = latex(table).split(r"\midrule")[1].splitlines()[1]
    name = r"A\_b \& 50 \% \textless{}b\textgreater{}\textbar{}x\textbar{}"
    assert row.strip().startswith(name)
    assert r"\#1 \{y\} \textbackslash{}z \textasciicircum{}\textasciitilde{} \$ {[}w{]} {*}" in row


def test_html(table: Table) -> None:
    page = html(table)
    parser = Structure(page)
    assert not parser.open
    assert parser.values == [NASTY, "0.4167", "-0.0412", "1", "x", "–", "–", "–"]
    assert {NASTY, "41.7 %", "[25.0, 50.0]", "n 12", "leak rate ↓", f"Title {NASTY}"} < set(parser.words)
    assert '<table class="sortable">' in page
    assert "<b>" not in page
