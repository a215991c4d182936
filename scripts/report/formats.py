"""Tables as Markdown, LaTeX and HTML."""

import re
from html import escape

from scripts.report.cells import Cell, Table
from scripts.report.html_parts import Markup

_MARKDOWN = re.compile(r"([\\`*_<|#\[\]])")
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"{{{character}}}" for character in "[]*"},  # which a line break before them would take
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "\n": " ",
}


def markdown(table: Table) -> str:
    """A heading, the table with its intervals in brackets, and the note."""
    usual = table.usual_n
    lines = [
        f"### {_markdown_text(table.title)}",
        "",
        _markdown_row([_markdown_text(header) for header in table.headers]),
        _markdown_row(["---", *["---:"] * (len(table.headers) - 1)]),
        *(_markdown_row([_markdown_cell(cell, usual) for cell in row]) for row in table.rows),
        "",
        _markdown_text(table.note),
    ]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A floating table for `\\input`, shrunk to the width of the line where it is wider."""
    usual = table.usual_n
    rows = [" & ".join(_latex_cell(cell, usual) for cell in row) for row in table.rows]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage{graphicx}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex_text(table.title)}. {latex_text(table.note)}}}",
        rf"  \label{{tab:{table.name}}}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.headers) - 1)}}}",
        r"    \toprule",
        rf"    {' & '.join(map(latex_text, table.headers))} \\",
        r"    \midrule",
        *(rf"    {row} \\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def html(table: Table) -> Markup:
    """A table to be sorted by its columns: each cell holds what it is sorted by as `data-value`."""
    usual = table.usual_n
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in table.headers)
    body = "".join(f"<tr>{_html_row(row, usual)}</tr>\n" for row in table.rows)
    caption = f"<figcaption><strong>{escape(table.title)}</strong> {escape(table.note)}</figcaption>"
    grid = f'<table class="sortable"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
    region = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.title)}">{grid}</div>'
    return Markup(f'<figure class="table" id="{escape(table.name)}">{caption}{region}</figure>')


def latex_text(text: str) -> str:
    """`text` with everything escaped that LaTeX would read as a command."""
    return "".join(_LATEX.get(character, character) for character in text)


def _small(cell: Cell, usual: int | None) -> list[str]:
    """What stands small beside the mean: the interval, and the count where it is not the usual one."""
    return [*filter(None, [cell.interval]), *([f"n {cell.n}"] if cell.n != usual else [])]


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text.replace("\n", " "))


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell | str, usual: int | None) -> str:
    if isinstance(cell, str):
        return _markdown_text(cell)
    return " ".join([cell.value, *_small(cell, usual)])


def _latex_cell(cell: Cell | str, usual: int | None) -> str:
    if isinstance(cell, str):
        return latex_text(cell)
    value, *small = (_latex_number(part) for part in (cell.value, *_small(cell, usual)))
    return rf"\shortstack[r]{{{value}\\{{\scriptsize {', '.join(small)}}}}}" if small else value


def _latex_number(text: str) -> str:
    """With minus signs in place of hyphens."""
    return text.replace("%", r"\%").replace("-", "$-$")


def _html_row(row: list[Cell | str], usual: int | None) -> str:
    first, *others = row
    name = f'<th scope="row" data-value="{escape(str(first))}">{escape(str(first))}</th>'
    return name + "".join(_html_cell(cell, usual) for cell in others)


def _html_cell(cell: Cell | str, usual: int | None) -> str:
    if isinstance(cell, str):
        return f'<td data-value="{escape(cell)}">{escape(cell)}</td>'
    small = "".join(f"<small>{escape(part)}</small>" for part in _small(cell, usual))
    return f'<td data-value="{cell.mean:.9g}">{escape(cell.value)}{small}</td>'
