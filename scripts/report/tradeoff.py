"""The trade-off figure: style against leakage (or against the prompt) for every setting of every method."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from callbacks.scoring.bootstrap import Estimate
from callbacks.scoring.groups import title_of
from callbacks.scoring.scored import Group, Scored
from scripts.report.cells import tag_of
from scripts.report.tables import IMAGE, LEAKED_AMONG_ALL, PROMPT_SEEN, STYLE_SEEN, TEXT

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

    def label(self, group: Group) -> str:
        """How a figure calls one point: "λ 0.2"."""
        values = {_last(key): value for key, value in group.varied.items()}
        return f"{_SYMBOLS.get(self.along, self.along)} {values[self.along]}" if self.along else ""


class Drawn(NamedTuple):
    """A curve with what is drawn of it."""

    curve: Curve
    x: list[Estimate]
    y: list[Estimate]

    @property
    def points(self) -> list[tuple[float, float]]:
        """The means."""
        return [(x.mean, y.mean) for x, y in zip(self.x, self.y, strict=True)]


def curves(groups: Sequence[Group]) -> list[Curve]:
    """All curves, methods in the order of `groups`, the largest number of a family first."""
    methods: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        methods[group.method].append(group)
    return [curve for members in methods.values() for curve in _of_method(members)]


def is_number(value: object) -> bool:
    """Whether a setting is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def draw(scored: Scored, judge: str, style_tag: str = IMAGE, leak_tag: str = LEAKED_AMONG_ALL) -> Figure:
    """Draw `style_tag` (up) against `leak_tag` (to the right), each with its 95 % interval.

    A method's settings are joined along its strength; a second number fades from curve to curve, a word is dashed.
    `leak_tag` may be any other score, such as "alignment/text".
    """
    drawn = [each for curve in curves(scored.groups) if (each := _drawn(scored, judge, curve, leak_tag, style_tag)).x]
    figure = Figure(figsize=_SIZE)
    axis = figure.add_axes((0.16, 0.285, 0.8, 0.7))
    styles = method_styles([each.curve.method for each in drawn])
    for place, each in enumerate(drawn):
        _draw_curve(axis, each, *styles[each.curve.method], _legend_label(drawn, place))
    _dress(axis, leak_tag, style_tag)
    _label(axis, drawn)
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
    ranked = sorted(numbers, key=lambda key: ALONG.index(_last(key)) if _last(key) in ALONG else len(ALONG))
    along = ranked[0] if ranked else ""
    families: dict[tuple[tuple[str, Any], ...], list[Group]] = defaultdict(list)
    for group in groups:
        families[tuple((key, value) for key, value in group.varied.items() if key != along)].append(group)
    words = [[value for _, value in rest if not is_number(value)] for rest in families]
    shares = [[value for _, value in rest if is_number(value)] for rest in families]
    fading = sorted({*map(tuple, shares)}, reverse=True)
    found = []
    for (rest, members), word, share in zip(families.items(), words, shares, strict=True):
        falling = sorted(members, key=lambda group: group.varied.get(along, 0), reverse=True)
        series = ", ".join(f"{_SYMBOLS.get(_last(key), _last(key))} {_short(value)}" for key, value in rest)
        opacity = 1 - 0.6 * fading.index(tuple(share)) / max(len(fading) - 1, 1)
        found.append(Curve(falling[0].method, falling, _last(along), series, opacity, word != words[0]))
    return sorted(found, key=lambda curve: (curve.dashed, -curve.opacity))


def _short(value: object) -> str:
    """The end of a long text, such as a fingerprint."""
    text = str(value)
    return text if len(text) <= 12 else f"…{text[-6:]}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _drawn(scored: Scored, judge: str, curve: Curve, x_tag: str, y_tag: str) -> Drawn:
    """The curve, of those settings of which the judge gives both scores."""
    drawn = Drawn(curve._replace(groups=[]), [], [])
    for group in curve.groups:
        x, y = scored.estimate(group, judge, x_tag), scored.estimate(group, judge, y_tag)
        if x and y:
            drawn.curve.groups.append(group)
            drawn.x.append(x)
            drawn.y.append(y)
    return drawn


def _draw_curve(axis: Axes, drawn: Drawn, colour: str, marker: str, label: str) -> None:
    curve, star, points = drawn.curve, marker == "*", np.array(drawn.points).T
    spreads = [np.array([(e.mean - e.low, e.high - e.mean) for e in each]).T.clip(0) for each in (drawn.x, drawn.y)]
    across, up = spreads
    bars: dict[str, Any] = {"alpha": 0.4 * curve.opacity, "elinewidth": 0.8, "zorder": 2}
    x, y = points
    axis.errorbar(x, y, xerr=across, yerr=up, fmt="none", ecolor=colour, **bars)
    look: dict[str, Any] = {"color": colour, "alpha": curve.opacity, "linewidth": 1.4, "label": label}
    look |= {"linestyle": "none" if len(drawn.x) == 1 else _DASHES if curve.dashed else "-", "zorder": 5 if star else 4}
    face, edge = PAPER if curve.dashed else colour, PAPER if star else colour
    size = 15 if star else 4.5
    axis.plot(*points, marker=marker, markersize=size, markerfacecolor=face, markeredgecolor=edge, **look)


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


def _label(axis: Axes, drawn: Sequence[Drawn]) -> None:
    """Both ends of a method's first curve by its number, the first ends of the others by what sets them apart."""
    found: list[tuple[float, float, str]] = []
    for place, each in enumerate(drawn):
        curve, points = each.curve, each.points
        if (len(points) > 1 and _is_first(drawn, place)) or curve.dashed:
            found += [(*points[end], curve.label(curve.groups[end])) for end in (0, -1)]
        if curve.series and curve.opacity < 1:
            found.append((*points[-1], curve.series))
    texts = [axis.text(*each, color=INK, fontsize=_FONT - 1, zorder=6) for each in found]
    every = np.array([point for each in drawn for point in each.points]).T
    adjust_text(texts, *every, ax=axis, expand=(1.2, 1.5), iter_lim=_ROUNDS)


def _is_first(drawn: Sequence[Drawn], place: int) -> bool:
    return all(each.curve.method != drawn[place].curve.method for each in drawn[:place])


def _legend_label(drawn: Sequence[Drawn], place: int) -> str:
    """How the legend calls a method's first curve, and its dashed ones; it shows no others."""
    curve = drawn[place].curve
    title = title_of(curve.method)
    if curve.dashed:
        return f"{title}, {curve.series}"
    paler = any(each.curve.method == curve.method and each.curve.opacity < 1 for each in drawn)
    title += f", paler: less {curve.series.split()[0]}" if paler else ""
    return title if _is_first(drawn, place) else "_"
