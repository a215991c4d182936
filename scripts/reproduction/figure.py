"""The training-curve figure, drawn like the published one (Zhu et al., arXiv 2502.07466): curves and pictures."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from PIL import Image

from callbacks.scoring.titles import TITLES
from scripts.reproduction.results import ADAPTERS, IMAGE, TEXT, Evaluation, Results

_TEXT_COLOURS = {"text_adapter": "#2ca02c", "image_adapter": "#ff7f0e"}
_IMAGE_COLOURS = {"text_adapter": "#1f77b4", "image_adapter": "#d62728"}
_STAR_COLOURS = {"masking": "#d62762", "instantstyle": "#b04fc4", "ip_adapter": "#8c564b"}
_DASHED = (0, (4, 1.5))
_HEIGHT = 4.5  # inches


class Strip(NamedTuple):
    """What panel (b) shows: one reference and prompt, and each adapter's result along the steps."""

    reference: Image.Image
    prompt: str
    results: dict[str, list[tuple[int, Image.Image]]]  # by adapter: step and picture


def draw_figure(results: Results, strip: Strip) -> Figure:
    """Panel (a): alignments along the training steps; panel (b): pictures along the training steps."""
    columns = max(len(row) for row in strip.results.values())
    widths = [8.2, 1.15 * (columns + 1.7)]
    figure = Figure(figsize=(sum(widths), _HEIGHT))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=widths, wspace=0)[0]
    draw_curves(left, results)
    draw_strip(right, strip)
    return figure


def draw_curves(figure: SubFigure | Figure, results: Results) -> Axes:
    """Text alignment on the left axis (solid), image alignment on the right (dashed), bands of 95 % intervals."""
    axis = figure.add_axes((0.1, 0.29, 0.8, 0.625))
    twin = axis.twinx()
    for method in ADAPTERS:
        _curve(axis, results.curves[method], TEXT, color=_TEXT_COLOURS[method], linestyle="-")
        _curve(twin, results.curves[method], IMAGE, color=_IMAGE_COLOURS[method], linestyle=_DASHED)
    steps = [each.step for each in results.curves[ADAPTERS[0]]]
    pitch = 0.028 * (steps[-1] - steps[0] or 1)
    for place, method in enumerate(_STAR_COLOURS, start=1):
        _star(axis, results.tuning_free[method], TEXT, steps[0] - (place + 0.5) * pitch)
        _star(twin, results.tuning_free[method], IMAGE, steps[0] - (place + 4) * pitch)
        mean = results.tuning_free[method].scores[TEXT].mean
        axis.axhline(mean, color=_STAR_COLOURS[method], linestyle=":", linewidth=1.2)
    axis.axvspan(steps[0] - 8 * pitch, steps[0] - 0.7 * pitch, color="grey", alpha=0.1, linewidth=0)
    axis.set_xlim(steps[0] - 8 * pitch, steps[-1] + pitch)
    axis.set_xticks([steps[0] - 4.35 * pitch, *steps], ["no training", *map(str, steps)])
    axis.set_xlabel("Number of training steps")
    axis.set_ylabel("Text alignment")
    twin.set_ylabel("Image alignment")
    figure.suptitle("(a) Text and image alignment during training", y=0.985, fontsize=12, weight="bold")
    figure.legend(handles=_legend(), loc="lower center", ncols=3, frameon=False, fontsize=9, handlelength=3)
    return axis


def draw_strip(figure: SubFigure | Figure, strip: Strip) -> None:
    """The reference at the left, then a row of results for each adapter."""
    columns = max(len(row) for row in strip.results.values())
    grid = figure.add_gridspec(
        2, columns + 2, width_ratios=[1.35, 0.2, *[1] * columns], left=0.005, right=0.99, top=0.8, bottom=0.14
    )
    grid.update(hspace=0.03, wspace=0.06)
    figure.suptitle("(b) Results along the training steps", y=0.985, fontsize=12, weight="bold")
    axis = figure.add_subplot(grid[:, 0])
    _picture(axis, strip.reference)
    axis.set_title("Style reference", fontsize=10)
    axis.set_xlabel(f"Text prompt\n“{strip.prompt}”", fontsize=10)
    for row, (method, results) in enumerate(strip.results.items()):
        for column, (step, picture) in enumerate(results):
            axis = figure.add_subplot(grid[row, column + 2])
            _picture(axis, picture)
            if row == 0:
                axis.set_title(f"step {step}", fontsize=10)
            if column == 0:
                axis.set_ylabel(TITLES[method], fontsize=10)


def _curve(axis: Axes, curve: Sequence[Evaluation], tag: str, **style: Any) -> None:
    steps, scores = [each.step for each in curve], [each.scores[tag] for each in curve]
    axis.plot(steps, [score.mean for score in scores], linewidth=2, marker="o", markersize=4, **style)
    band = [score.low for score in scores], [score.high for score in scores]
    axis.fill_between(steps, *band, color=style["color"], alpha=0.13, linewidth=0)


def _star(axis: Axes, evaluation: Evaluation, tag: str, x: float) -> None:
    """A tuning-free method at the left of step 0, where it hides nothing: full for text, hollow for image."""
    colour, score = _STAR_COLOURS[evaluation.method], evaluation.scores[tag]
    spread = np.maximum([[score.mean - score.low], [score.high - score.mean]], 0)
    axis.errorbar([x], [score.mean], yerr=spread, color=colour, capsize=2, linewidth=1, zorder=4)
    fill = colour if tag == TEXT else "white"
    axis.plot([x], [score.mean], marker="*", markersize=12, color=colour, markerfacecolor=fill, zorder=5)


def _legend() -> list[Line2D]:
    """Three columns: text alignment, image alignment, tuning-free methods."""
    styles: list[dict[str, Any]] = [
        *({"color": _TEXT_COLOURS[m], "marker": "o", "label": f"{TITLES[m]} (text alignment)"} for m in ADAPTERS),
        {"color": "grey", "marker": "*", "linestyle": ":", "label": "no training, text alignment"},
        *(
            {"color": _IMAGE_COLOURS[m], "marker": "o", "linestyle": _DASHED, "label": f"{TITLES[m]} (image alignment)"}
            for m in ADAPTERS
        ),
        {"color": "grey", "marker": "*", "markerfacecolor": "white", "linestyle": "none"},
        *({"color": c, "marker": "*", "linestyle": ":", "label": TITLES[m]} for m, c in _STAR_COLOURS.items()),
    ]
    styles[5]["label"] = "no training, image alignment"
    sizes = {"o": 4, "*": 11}
    return [Line2D([], [], linewidth=2, markersize=sizes[style["marker"]], **style) for style in styles]


def _picture(axis: Axes, picture: Image.Image) -> None:
    axis.imshow(np.asarray(picture), interpolation="nearest" if picture.width < 128 else "antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
