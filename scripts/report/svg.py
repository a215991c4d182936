"""Figures as SVG that follow the light or dark scheme of the page that shows them."""

import base64
import io
from html import escape

import matplotlib
from matplotlib.figure import Figure

from scripts.report.html_parts import Markup

INK, FAINT, PAPER = "#1d2228", "#d9dde2", "#fdfefe"  # text and lines, grid, what lies behind markers
FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
_DARK = {INK: "#e4e7eb", FAINT: "#3a4048", PAPER: "#16191d"}
_NAMES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"}


def svg(figure: Figure) -> str:
    """The figure with real text; what is drawn in INK, FAINT or PAPER changes with the reader's colour scheme."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "maskst", "font.size": 9}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    for colour, name in _NAMES.items():
        drawn = drawn.replace(colour, f"var({name})")
    drawn = drawn.replace("'DejaVu Sans'", ", ".join(f"'{font}'" if " " in font else font for font in FONT))
    light, dark = (";".join(f"{_NAMES[old]}:{new}" for old, new in to.items()) for to in ({c: c for c in _DARK}, _DARK))
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    head, opening, rest = drawn.partition("<defs>")
    return f"{head}{style}{opening}{rest}"


def shown(figure: Figure, alternative: str) -> Markup:
    """The figure as a picture within a page; `alternative` says in words what it shows."""
    data = base64.b64encode(svg(figure).encode()).decode()
    return Markup(f'<img class="chart" src="data:image/svg+xml;base64,{data}" alt="{escape(alternative)}">')
