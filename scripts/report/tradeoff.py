"""The trade-off figure: style against leakage (or against the prompt) for every setting of every method."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from callbacks.scoring.bootstrap import Estimate
from callbacks.scoring.scored import Group, Scored
from callbacks.scoring.titles import title_of
from scripts.report.cells import tag_of
from scripts.report.curves import Curve, curves
from scripts.report.placement import Label, place
from scripts.report.svg import FAINT, INK, PAPER

STYLE, TEXT, LEAK = "alignment/image", "alignment/text", "leakage/leaked_among_all"
# Distinct for readers with any colour vision (Okabe and Ito, 2008), and on light and dark ground.
_COLOURS = {
    "ip_adapter": "#2380c9",
    "instantstyle": "#009e73",
    "masking": "#d55e00",
    "quantile_masking": "#cc79a7",
    "image_adapter": "#e69f00",
    "text_adapter": "#56b4e9",
    "styleshot": "#2380c9",
}
_MARKERS = {"ip_adapter": "s", "instantstyle": "o", "masking": "*", "quantile_masking": "D", "image_adapter": "^"}
_OTHERS = (("#56b4e9", "v"), ("#e69f00", "P"), ("#8c6bb1", "X"), ("#a6761d", "h"), ("#7f7f7f", "p"))
_SIZE = 4.5, 4.5  # inches; drawn for a phone's width
_FONT = 9.0
_RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # ticks of a leak rate


class Scores(NamedTuple):
    """The scores of one judge that are drawn against each other."""

    style: str
    leak: str
    prompt: str


_AXES = (Scores(STYLE, LEAK, TEXT), Scores("agreement/style", LEAK, "agreement/prompt"))  # of a CLIP, of a classifier


def axes_of(tags: Sequence[str]) -> Scores | None:
    """What a judge that gives the scores `tags` can draw; None if too little."""
    return next((axes for axes in _AXES if set(axes) <= set(tags)), None)


class Point(NamedTuple):
    """One setting in the figure."""

    group: Group
    x: Estimate
    y: Estimate


def draw(scored: Scored, judge: str, style_tag: str = STYLE, leak_tag: str = LEAK) -> Figure:
    """Draw `style_tag` (up) against `leak_tag` (to the right), each with its 95 % interval.

    A method's settings are joined along its strength; a second number fades from curve to curve, a word is dashed.
    `leak_tag` may be any other score, such as "alignment/text".
    """
    drawn = [(curve, _points(scored, judge, curve, leak_tag, style_tag)) for curve in curves(scored.groups)]
    drawn = [(curve, points) for curve, points in drawn if points]
    figure = Figure(figsize=_SIZE)
    axis = figure.add_axes((0.16, 0.285, 0.8, 0.7))
    styles = method_styles([curve.method for curve, _ in drawn])
    for curve, points in drawn:
        _draw_curve(axis, curve, points, styles[curve.method])
    _dress(axis, leak_tag, style_tag)
    _label(axis, drawn)
    figure.legend(handles=_legend(drawn, styles), loc="lower center", ncols=2, **_LEGEND)
    return figure


_LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": _FONT - 0.5,
    "labelcolor": INK,
    "handlelength": 2.0,
    "columnspacing": 1.0,
}


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method; those that are not known take what is left, in turn."""
    known = {name: (_COLOURS[name], _MARKERS.get(name, "v")) for name in methods if name in _COLOURS}
    left = [style for style in _OTHERS if style not in known.values()]
    others = [name for name in dict.fromkeys(methods) if name not in known]
    return known | {name: left[place % len(left)] for place, name in enumerate(others)}


def _points(scored: Scored, judge: str, curve: Curve, x_tag: str, y_tag: str) -> list[Point]:
    estimates = (
        (group, scored.estimate(group, judge, x_tag), scored.estimate(group, judge, y_tag)) for group in curve.groups
    )
    return [Point(group, x, y) for group, x, y in estimates if x is not None and y is not None]


def _draw_curve(axis: Axes, curve: Curve, points: Sequence[Point], style: tuple[str, str]) -> None:
    colour, marker = style
    star = marker == "*"
    for point in points:
        bars: dict[str, Any] = {"color": colour, "alpha": 0.4 * curve.opacity, "linewidth": 0.8, "zorder": 2}
        axis.plot([point.x.low, point.x.high], [point.y.mean] * 2, **bars)
        axis.plot([point.x.mean] * 2, [point.y.low, point.y.high], **bars)
    xs, ys = [point.x.mean for point in points], [point.y.mean for point in points]
    axis.plot(xs, ys, color=colour, alpha=curve.opacity, linewidth=1.4, linestyle=_dashes(curve), zorder=3)
    look: dict[str, Any] = {
        "marker": marker,
        "markersize": 15 if star else 4.5,
        "markerfacecolor": PAPER if curve.dashed else colour,
        "markeredgecolor": PAPER if star else colour,
        "markeredgewidth": 0.8 if star else 1.1,
    }
    axis.plot(xs, ys, linestyle="none", alpha=curve.opacity, zorder=5 if star else 4, **look)


def _dashes(curve: Curve) -> Any:
    return (0, (3, 1.6)) if curve.dashed else "-"


def _dress(axis: Axes, x_tag: str, y_tag: str) -> None:
    if x_tag == LEAK:
        axis.set_xscale("function", functions=(_signed_root, _signed_square))
    axis.margins(0.07)
    axis.autoscale_view()
    axis.grid(color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(INK)
    axis.tick_params(colors=INK, labelsize=_FONT, length=3)
    for side, tag in ((axis.xaxis, x_tag), (axis.yaxis, y_tag)):
        side.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        side.set_label_text(_axis_title(tag), color=INK, fontsize=_FONT + 0.5)
        if tag_of(tag).is_rate:
            side.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if x_tag == LEAK:
        axis.xaxis.set_major_locator(FixedLocator(_RATES))
        axis.set_xlabel(f"{_axis_title(x_tag)} (root scale)")
    lower = tag_of(x_tag).better == "↓"
    arrow, side_x = ("↖ better", 0.01) if lower else ("better ↗", 0.99)
    where: dict[str, Any] = {"transform": axis.transAxes, "ha": "left" if lower else "right", "va": "top"}
    axis.text(side_x, 0.99, arrow, color=INK, fontsize=_FONT, style="italic", alpha=0.75, **where)


def _signed_root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates near 0, where most settings are, take more room."""
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _signed_square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sign(values) * np.square(values))


def _axis_title(tag: str) -> str:
    return tag_of(tag).title.capitalize()


def _label(axis: Axes, drawn: Sequence[tuple[Curve, Sequence[Point]]]) -> None:
    """Both ends of a method's first curve by its number, the first ends of the others by what sets them apart."""
    ends, series = [], []
    for place_in_method, (curve, points) in _numbered(drawn):
        if (len(points) > 1 and place_in_method == 0) or curve.dashed:
            ends += [_at(curve.label(each.group), each) for each in (points[0], points[-1])]
        if curve.series and curve.opacity < 1:
            series.append(_at(curve.series, points[-1]))
    every = [(point.x.mean, point.y.mean) for _, points in drawn for point in points]
    place(axis, [*ends, *series], every, _FONT - 1, color=INK)


def _numbered(drawn: Sequence[tuple[Curve, Sequence[Point]]]) -> list[tuple[int, tuple[Curve, Sequence[Point]]]]:
    """Each curve with its place among those of its method."""
    methods = [curve.method for curve, _ in drawn]
    return [(methods[:place].count(methods[place]), each) for place, each in enumerate(drawn)]


def _at(text: str, point: Point) -> Label:
    return Label(text, point.x.mean, point.y.mean)


def _legend(drawn: Sequence[tuple[Curve, Sequence[Point]]], styles: dict[str, tuple[str, str]]) -> list[Line2D]:
    """A line a method, and one for each of its dashed curves."""
    handles = []
    for place_in_method, (curve, points) in _numbered(drawn):
        if place_in_method and not curve.dashed:
            continue
        colour, marker = styles[curve.method]
        star = marker == "*"
        handles.append(
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                linestyle=_dashes(curve) if len(points) > 1 else "none",
                linewidth=1.4,
                markersize=11 if star else 4.5,
                markerfacecolor=PAPER if curve.dashed else colour,
                label=_legend_label(curve, drawn),
            )
        )
    return handles


def _legend_label(curve: Curve, drawn: Sequence[tuple[Curve, Sequence[Point]]]) -> str:
    title = title_of(curve.method)
    if curve.dashed:
        return f"{title}, {curve.series}"
    faded = any(each.method == curve.method and each.opacity < 1 for each, _ in drawn)
    return f"{title}, paler: less {curve.series.split()[0]}" if faded else title
