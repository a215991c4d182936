"""The training curves as a figure, drawn like the published one (Zhu et al., arXiv 2502.07466): curves and pictures."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from callbacks.scoring.groups import TITLES
from scripts.report.cells import tag_of
from scripts.report.tables import IMAGE, TEXT
from scripts.report.training import ADAPTERS, Training

# Read off the published figure, to about two units of the last digit.
STEPS = (0, 400, 800, 1200, 1600, 2000, 2400)
PUBLISHED = {
    (TEXT, "image_adapter"): (0.204, 0.234, 0.251, 0.2505, 0.2485, 0.2445, 0.2415),
    (TEXT, "text_adapter"): (0.204, 0.248, 0.251, 0.245, 0.247, 0.2365, 0.236),
    (IMAGE, "image_adapter"): (0.605, 0.498, 0.436, 0.423, 0.435, 0.421, 0.416),
    (IMAGE, "text_adapter"): (0.605, 0.488, 0.390, 0.394, 0.406, 0.400, 0.409),
}
PUBLISHED_TUNING_FREE = {"ip_adapter": 0.205, "instantstyle": 0.220, "masking": 0.237}  # text alignment
_COLOURS = {
    (TEXT, "text_adapter"): "#2ca02c",
    (TEXT, "image_adapter"): "#ff7f0e",
    (IMAGE, "text_adapter"): "#1f77b4",
    (IMAGE, "image_adapter"): "#d62728",
}
_STARS = {"masking": "#d62762", "instantstyle": "#b04fc4", "ip_adapter": "#8c564b"}
_DASHES = {TEXT: "-", IMAGE: (0, (4, 1.5))}
_HEIGHT = 4.5  # inches
_SMALL = 128  # pixels of a picture that is enlarged without blurring


class Strip(NamedTuple):
    """What panel (b) shows: one reference and prompt, and each adapter's result along the steps."""

    reference: Image.Image
    prompt: str
    results: dict[str, list[tuple[int, Image.Image]]]  # by adapter: step and picture
    references: int  # whose pictures are kept
    leak_rate: float  # of IP-Adapter's pictures of this one, the highest


def published_beside(steps: Sequence[int]) -> dict[int, int]:
    """For each measured step the place of the published one that is nearest by its share of the training."""
    shares = np.array(STEPS) / STEPS[-1]
    return {step: int(np.argmin(abs(shares - step / (steps[-1] or 1)))) for step in steps}


def draw_figure(training: Training, strip: Strip) -> Figure:
    """Panel (a): alignments along the training steps; panel (b): pictures along the training steps."""
    columns = max(len(row) for row in strip.results.values())
    widths = [8.2, 1.15 * (columns + 1.7)]
    figure = Figure(figsize=(sum(widths), _HEIGHT))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=widths, wspace=0)[0]
    draw_curves(left, training)
    _draw_strip(right, strip)
    return figure


def draw_curves(figure: SubFigure | Figure, training: Training) -> Axes:
    """Text alignment on the left axis (solid), image alignment on the right (dashed), bands of 95 % intervals."""
    axis = figure.add_axes((0.1, 0.29, 0.8, 0.625))
    twin = axis.twinx()
    steps = training.steps()
    pitch = 0.028 * (steps[-1] - steps[0] or 1)
    for each, tag, line, fill, first in ((axis, TEXT, ":", None, 1.5), (twin, IMAGE, "none", "white", 5)):
        for method in ADAPTERS:
            name = f"{TITLES[method]} ({tag_of(tag).title})"
            _curve(each, training, method, tag, color=_COLOURS[tag, method], linestyle=_DASHES[tag], label=name)
        star: dict[str, Any] = {"marker": "*", "markerfacecolor": fill}
        name = f"no training, {tag_of(tag).title}"
        each.plot([], [], color="grey", linewidth=2, linestyle=line, markersize=11, label=name, **star)
        for place, (method, colour) in enumerate(_STARS.items()):  # at the left of step 0, where they hide nothing
            found = training.estimate(training.tuning_free[method], tag)
            ends = np.maximum([[found.mean - found.low], [found.high - found.mean]], 0)
            look: dict[str, Any] = {**star, "linestyle": "none", "elinewidth": 1, "capsize": 2, "markersize": 12}
            each.errorbar([steps[0] - (place + first) * pitch], [found.mean], ends, color=colour, **look)
    for method, colour in _STARS.items():
        mean = training.estimate(training.tuning_free[method], TEXT).mean
        axis.axhline(mean, color=colour, linestyle=":", linewidth=1.2)
        twin.plot([], [], "*:", color=colour, linewidth=2, markersize=11, label=TITLES[method])
    axis.axvspan(steps[0] - 8 * pitch, steps[0] - 0.7 * pitch, color="grey", alpha=0.1, linewidth=0)
    axis.set_xlim(steps[0] - 8 * pitch, steps[-1] + pitch)
    axis.set_xticks([steps[0] - 4.35 * pitch, *steps], ["no training", *map(str, steps)])
    axis.set(xlabel="Number of training steps", ylabel="Text alignment")
    twin.set_ylabel("Image alignment")
    figure.suptitle("(a) Text and image alignment during training", y=0.985, fontsize=12, weight="bold")
    figure.legend(loc="lower center", ncols=3, frameon=False, fontsize=9, handlelength=3)
    return axis


def draw_comparison(training: Training) -> Figure:
    """Published curves at the left, measured ones at the right, each with axes of its own."""
    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col")
    for (published, measured), tag in zip(axes, (TEXT, IMAGE), strict=True):
        for method, colour in zip(ADAPTERS, ("#d55e00", "#0072b2"), strict=True):
            look: dict[str, Any] = {"color": colour, "label": TITLES[method]}
            published.plot(STEPS, PUBLISHED[tag, method], "--", marker="o", markersize=4, **look)
            _curve(measured, training, method, tag, **look)
        published.set_ylabel(tag_of(tag).title.capitalize())
        for axis in (published, measured):
            axis.grid(alpha=0.25)
    axes[0, 0].set_title("Published: Stable Diffusion 1.5, ViT-B/32", fontsize=10)
    axes[0, 1].set_title(f"Measured here: judge “{training.judge}”", fontsize=10)
    for axis in axes[1]:
        axis.set_xlabel("Training steps")
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


def _curve(axis: Axes, training: Training, method: str, tag: str, **look: Any) -> None:
    steps = training.steps(method)
    scores = [training.estimate(group, tag) for group in training.curves[method]]
    axis.plot(steps, [score.mean for score in scores], linewidth=2, marker="o", markersize=4, **look)
    band = [score.low for score in scores], [score.high for score in scores]
    axis.fill_between(steps, *band, color=look["color"], alpha=0.13, linewidth=0)


def _draw_strip(figure: SubFigure | Figure, strip: Strip) -> None:
    """The reference at the left, then a row of results for each adapter."""
    columns = max(len(row) for row in strip.results.values())
    grid = figure.add_gridspec(
        2, columns + 2, width_ratios=[1.35, 0.2, *[1] * columns], left=0.005, right=0.99, top=0.8, bottom=0.14
    )
    grid.update(hspace=0.03, wspace=0.06)
    figure.suptitle("(b) Results along the training steps", y=0.985, fontsize=12, weight="bold")
    axis = _picture(figure, grid[:, 0], strip.reference)
    axis.set_title("Style reference", fontsize=10)
    axis.set_xlabel(f"Text prompt\n“{strip.prompt}”", fontsize=10)
    for row, (method, results) in enumerate(strip.results.items()):
        for column, (step, picture) in enumerate(results):
            axis = _picture(figure, grid[row, column + 2], picture)
            axis.set_title(f"step {step}" if row == 0 else "", fontsize=10)
            axis.set_ylabel(TITLES[method] if column == 0 else "", fontsize=10)


def _picture(figure: SubFigure | Figure, place: Any, picture: Image.Image) -> Axes:
    axis = figure.add_subplot(place)
    axis.imshow(np.asarray(picture), interpolation="nearest" if picture.width <= _SMALL else "antialiased")
    axis.set(xticks=[], yticks=[])
    return axis
