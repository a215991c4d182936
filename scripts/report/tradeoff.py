"""The trade-off figure: style against leakage (or against the prompt) for every setting of every method."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from callbacks.scoring.groups import title_of
from callbacks.scoring.scored import Group, Scored
from scripts.report.cells import tag_of
from scripts.report.tables import IMAGE, LEAKED_AMONG_ALL, PROMPT_SEEN, STYLE_SEEN, TEXT, methods_of

INK, FAINT, PAPER = "#1d2228", "#d9dde2", "#fdfefe"  # text and lines, grid, what lies behind markers
ALONG = ("strength", "theta", "scale")  # a curve runs along the first of these that its method varies
_SYMBOLS = {"strength": "λ", "theta": "θ"}
# Colours distinct for readers with any colour vision (Okabe and Ito, 2008), and on light and dark ground.
_STYLES = {
    "ip_adapter": ("#2380c9", "s"),
    "instantstyle": ("#009e73", "o"),
    "masking": ("#d55e00", "*"),
    "quantile_masking": ("#cc79a7", "D"),
    "image_adapter": ("#e69f00", "^"),
    "text_adapter": ("#56b4e9", "v"),
    "styleshot": ("#2380c9", "v"),
}
_OTHERS = (("#56b4e9", "v"), ("#e69f00", "P"), ("#8c6bb1", "X"), ("#a6761d", "h"), ("#7f7f7f", "p"))
_SIZE = 4.5, 4.5  # inches; drawn for a phone's width
_FONT = 9.0
_DASHES = (0, (3, 1.6))
_RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # ticks of a leak rate
_ROUNDS = 100  # of moving labels, after which they stand

Numbers = NDArray[np.float64]


class Scores(NamedTuple):
    """The scores of one judge that are drawn against each other."""

    style: str
    leak: str
    prompt: str


_AXES = (Scores(IMAGE, LEAKED_AMONG_ALL, TEXT), Scores(STYLE_SEEN, LEAKED_AMONG_ALL, PROMPT_SEEN))


def axes_of(tags: Sequence[str]) -> Scores | None:
    """What a judge that gives the scores `tags` can draw, a CLIP or a classifier; None if too little."""
    return next((axes for axes in _AXES if set(axes) <= set(tags)), None)


class Curve(NamedTuple):
    """Settings of one method that differ in one number; or its only setting."""

    method: str
    groups: list[Group]  # by that number, falling
    along: str  # "strength"; "" for a single setting
    series: str  # the settings that they share: "scale 0.6"; "" where the method has one curve
    opacity: float  # falls from curve to curve where they differ in a number
    dashed: bool  # all but the first, where they differ in a word
    legend: str = ""  # how the legend calls a method's first curve, and its dashed ones; it shows no others

    def label(self, group: Group) -> str:
        """How a figure calls one point: "λ 0.2"."""
        values = {_last(key): value for key, value in group.varied.items()}
        return f"{_SYMBOLS.get(self.along, self.along)} {values[self.along]}" if self.along else ""


def curves(groups: Sequence[Group]) -> list[Curve]:
    """All curves, methods in the order of `groups`, the largest number of a family first."""
    return [curve for members in methods_of(groups).values() for curve in _of_method(members)]


def is_number(value: object) -> bool:
    """Whether a setting is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def draw(scored: Scored, judge: str, style_tag: str = IMAGE, leak_tag: str = LEAKED_AMONG_ALL) -> Figure:
    """Draw `style_tag` (up) against `leak_tag` (to the right), each with its 95 % interval.

    A method's settings are joined along its strength; a second number fades from curve to curve, a word is dashed.
    `leak_tag` may be any other score, such as "alignment/text".
    """
    tags = leak_tag, style_tag
    groups = [group for group in scored.groups if all(scored.estimate(group, judge, tag) for tag in tags)]
    drawn = [(curve, _points(scored, judge, curve, tags)) for curve in curves(groups)]
    figure = Figure(figsize=_SIZE)
    axis = figure.add_axes((0.16, 0.285, 0.8, 0.7))
    styles = method_styles([group.method for group in groups])
    for curve, points in drawn:
        _draw_curve(axis, curve, points, *styles[curve.method])
    _dress(axis, leak_tag, style_tag)
    _label(axis, [(curve, points[..., 0]) for curve, points in drawn])
    look: dict[str, Any] = {"frameon": False, "fontsize": _FONT - 0.5, "labelcolor": INK, "columnspacing": 1.0}
    figure.legend(loc="lower center", ncols=2, handlelength=2.0, **look)
    return figure


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method; those that are not known take what is left, in turn."""
    known = {name: _STYLES[name] for name in methods if name in _STYLES}
    left = [style for style in _OTHERS if style not in known.values()]
    others = [name for name in dict.fromkeys(methods) if name not in known]
    return known | {name: left[place % len(left)] for place, name in enumerate(others)}


def dress(axis: Axes, size: float = _FONT) -> None:
    """What all figures of the page have in common."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(INK)
    axis.tick_params(colors=INK, labelsize=size, length=3)
    axis.set_axisbelow(True)


def _of_method(groups: Sequence[Group]) -> list[Curve]:
    numbers = [key for key in groups[0].varied if all(is_number(group.varied.get(key)) for group in groups)]
    ranks = {name: rank for rank, name in enumerate(ALONG)}
    along = min(numbers, key=lambda key: ranks.get(_last(key), len(ALONG)), default="")
    families: dict[tuple[tuple[str, Any], ...], list[Group]] = defaultdict(list)
    for group in groups:
        families[tuple((key, value) for key, value in group.varied.items() if key != along)].append(group)
    words = [[value for _, value in rest if not is_number(value)] for rest in families]
    shares = [tuple(value for _, value in rest if is_number(value)) for rest in families]
    fading = sorted({*shares}, reverse=True)
    found = []
    for (rest, members), word, share in zip(families.items(), words, shares, strict=True):
        falling = sorted(members, key=lambda group: group.varied.get(along, 0), reverse=True)
        series = ", ".join(f"{_SYMBOLS.get(_last(key), _last(key))} {_short(value)}" for key, value in rest)
        opacity = 1 - 0.6 * fading.index(share) / max(len(fading) - 1, 1)
        found.append(Curve(groups[0].method, falling, _last(along), series, opacity, word != words[0]))
    return _with_legends(sorted(found, key=lambda curve: (curve.dashed, -curve.opacity)))


def _with_legends(found: Sequence[Curve]) -> list[Curve]:
    first, title = found[0], title_of(found[0].method)
    paler = f", paler: less {first.series.split()[0]}" if any(curve.opacity < 1 for curve in found) else ""
    legends = [f"{title}, {each.series}" if each.dashed else f"{title}{paler}" * (each is first) for each in found]
    return [curve._replace(legend=legend) for curve, legend in zip(found, legends, strict=True)]


def _short(value: object) -> str:
    """The end of a long text, such as a fingerprint."""
    text = str(value)
    return text if len(text) <= 12 else f"…{text[-6:]}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _points(scored: Scored, judge: str, curve: Curve, tags: tuple[str, str]) -> Numbers:
    """Mean, low and high end of both scores of all settings, (settings, 2, 3)."""
    found = ([scored.estimate(group, judge, tag) for tag in tags] for group in curve.groups)
    return np.array([[each[:3] for each in both if each] for both in found])


def _draw_curve(axis: Axes, curve: Curve, points: Numbers, colour: str, marker: str) -> None:
    star, (means, low, high) = marker == "*", np.moveaxis(points, 2, 0)
    across, up = np.stack([means - low, high - means]).clip(0).T
    bars: dict[str, Any] = {"alpha": 0.4 * curve.opacity, "elinewidth": 0.8, "zorder": 2}
    x, y = means.T
    axis.errorbar(x, y, xerr=across.T, yerr=up.T, fmt="none", ecolor=colour, **bars)
    look: dict[str, Any] = {"color": colour, "alpha": curve.opacity, "linewidth": 1.4, "label": curve.legend or "_"}
    look |= {"linestyle": "none" if len(means) == 1 else _DASHES if curve.dashed else "-", "zorder": 5 if star else 4}
    face, edge = PAPER if curve.dashed else colour, PAPER if star else colour
    size = 15 if star else 4.5
    axis.plot(x, y, marker=marker, markersize=size, markerfacecolor=face, markeredgecolor=edge, **look)


def _dress(axis: Axes, x_tag: str, y_tag: str) -> None:
    if x_tag == LEAKED_AMONG_ALL:  # rates near 0, where most settings are, take more room
        axis.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(abs(x)), lambda x: np.sign(x) * x**2))
    axis.margins(0.07)
    axis.autoscale_view()
    axis.grid(color=FAINT, linewidth=0.6)
    dress(axis)
    for side, tag in ((axis.xaxis, x_tag), (axis.yaxis, y_tag)):
        side.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        side.set_label_text(tag_of(tag).title.capitalize(), color=INK, fontsize=_FONT + 0.5)
        if tag_of(tag).is_rate:
            side.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if x_tag == LEAKED_AMONG_ALL:
        axis.xaxis.set_major_locator(FixedLocator(_RATES))
        axis.set_xlabel(f"{tag_of(x_tag).title.capitalize()} (root scale)")
    arrow, x, edge = ("↖ better", 0.01, "left") if tag_of(x_tag).better == "↓" else ("better ↗", 0.99, "right")
    look: dict[str, Any] = {"ha": edge, "va": "top", "color": INK, "fontsize": _FONT, "alpha": 0.75}
    axis.text(x, 0.99, arrow, transform=axis.transAxes, style="italic", **look)


def _label(axis: Axes, drawn: Sequence[tuple[Curve, Numbers]]) -> None:
    """Both ends of a method's first curve by its number, the first ends of the others by what sets them apart."""
    found: list[tuple[float, float, str]] = []
    for curve, means in drawn:
        if curve.legend and (len(means) > 1 or curve.dashed):
            found += [(*means[end], curve.label(curve.groups[end])) for end in (0, -1)]
        if curve.series and curve.opacity < 1:
            found.append((*means[-1], curve.series))
    texts = [axis.text(*each, color=INK, fontsize=_FONT - 1, zorder=6) for each in found]
    every = np.array([point for _, means in drawn for point in means]).T
    adjust_text(texts, *every, ax=axis, expand=(1.2, 1.5), iter_lim=_ROUNDS)
