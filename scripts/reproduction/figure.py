"""The training-curve figure, drawn like the published one (Zhu et al., arXiv 2502.07466): curves and pictures."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from PIL import Image

from scripts.reproduction.results import ADAPTERS, IMAGE, TEXT, TITLES, Evaluation, Results

_TEXT_COLOURS = {"text_adapter": "#2ca02c", "image_adapter": "#ff7f0e"}
_IMAGE_COLOURS = {"text_adapter": "#1f77b4", "image_adapter": "#d62728"}
_STAR_COLOURS = {"masking": "#d62762", "instantstyle": "#b04fc4", "ip_adapter": "#8c564b"}


class Strip(NamedTuple):
    """What panel (b) shows: one reference and prompt, and each adapter's result along the steps."""

    reference: Image.Image
    prompt: str
    results: dict[str, list[tuple[int, Image.Image]]]  # by adapter: step and picture


def draw_figure(results: Results, strip: Strip) -> Figure:
    """Panel (a): alignments along the training steps; panel (b): pictures along the training steps."""
    columns = max(len(row) for row in strip.results.values())
    figure = Figure(figsize=(8.2 + 1.15 * (columns + 1.6), 5.2))
    widths = [8.2, 1.15 * (columns + 1.6)]
    left, right = figure.subfigures(1, 2, width_ratios=widths, wspace=0)
    draw_curves(left, results)
    draw_strip(right, strip)
    return figure


def draw_curves(figure: SubFigure | Figure, results: Results) -> Axes:
    """Text alignment on the left axis (solid), image alignment on the right (dashed), bands of 95 % intervals."""
    axis = figure.add_axes((0.1, 0.36, 0.8, 0.57))
    twin = axis.twinx()
    for method in reversed(ADAPTERS):
        _curve(axis, results.curves[method], TEXT, color=_TEXT_COLOURS[method], linestyle="-")
        _curve(twin, results.curves[method], IMAGE, color=_IMAGE_COLOURS[method], linestyle=(0, (4, 1.5)))
    steps = [each.step for each in results.curves[ADAPTERS[0]]]
    for place, method in enumerate(_STAR_COLOURS):
        x = steps[0] - (steps[-1] - steps[0] or 1) * (0.035 * (place + 1))
        _stars(axis, twin, results.tuning_free[method], x)
    axis.set_xticks(steps)
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
        2, columns + 1, width_ratios=[1.35, *[1] * columns], left=0.01, right=0.995, top=0.80, bottom=0.24
    )
    figure.suptitle("(b) Results along the training steps", y=0.985, fontsize=12, weight="bold")
    axis = figure.add_subplot(grid[:, 0])
    _picture(axis, strip.reference)
    axis.set_title("Style reference", fontsize=10)
    axis.set_xlabel(f"Text prompt\n“{strip.prompt}”", fontsize=10)
    for row, (method, results) in enumerate(strip.results.items()):
        for column, (step, picture) in enumerate(results):
            axis = figure.add_subplot(grid[row, column + 1])
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


def _stars(axis: Axes, twin: Axes, evaluation: Evaluation, x: float) -> None:
    """A tuning-free method: beside step 0, where nothing is hidden, with a constant line for its text alignment."""
    colour = _STAR_COLOURS[evaluation.method]
    for where, tag, fill in ((axis, TEXT, colour), (twin, IMAGE, "white")):
        score = evaluation.scores[tag]
        spread = [[score.mean - score.low], [score.high - score.mean]]
        where.errorbar([x], [score.mean], yerr=np.maximum(spread, 0), color=colour, capsize=2, linewidth=1, zorder=4)
        where.plot([x], [score.mean], marker="*", markersize=12, color=colour, markerfacecolor=fill, zorder=5)
    axis.axhline(evaluation.scores[TEXT].mean, color=colour, linestyle=":", linewidth=1.2)


def _legend() -> list[Line2D]:
    handles = []
    for method in reversed(ADAPTERS):
        name = TITLES[method]
        handles += [
            Line2D([], [], color=_TEXT_COLOURS[method], linewidth=2, marker="o", label=f"{name}, text alignment"),
            Line2D([], [], color=_IMAGE_COLOURS[method], linewidth=2, marker="o", linestyle=(0, (4, 1.5))),
        ]
        handles[-1].set_label(f"{name}, image alignment")
    for method, colour in _STAR_COLOURS.items():
        label = f"{TITLES[method]} (no training)"
        handles.append(Line2D([], [], color=colour, marker="*", markersize=11, linestyle=":", label=label))
    handles.append(Line2D([], [], color="grey", marker="*", markersize=11, linestyle="none", label="full star: text"))
    hollow = Line2D([], [], color="grey", marker="*", markersize=11, markerfacecolor="white", linestyle="none")
    hollow.set_label("hollow star: image (right axis)")
    return [*handles, hollow]


def _picture(axis: Axes, picture: Image.Image) -> None:
    axis.imshow(np.asarray(picture), interpolation="nearest" if picture.width < 128 else "antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
