"""The published training curves (Zhu et al., arXiv 2502.07466), beside those measured here and told apart from them."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.scoring.titles import TITLES
from scripts.report.html_parts import Markup, paragraph, table
from scripts.reproduction.results import ADAPTERS, IMAGE, TEXT, Results

# Read off the published figure, to about two units of the last digit.
STEPS = (0, 400, 800, 1200, 1600, 2000, 2400)
CURVES = {
    (TEXT, "image_adapter"): (0.204, 0.234, 0.251, 0.2505, 0.2485, 0.2445, 0.2415),
    (TEXT, "text_adapter"): (0.204, 0.248, 0.251, 0.245, 0.247, 0.2365, 0.236),
    (IMAGE, "image_adapter"): (0.605, 0.498, 0.436, 0.423, 0.435, 0.421, 0.416),
    (IMAGE, "text_adapter"): (0.605, 0.488, 0.390, 0.394, 0.406, 0.400, 0.409),
}
TUNING_FREE = {"ip_adapter": 0.205, "instantstyle": 0.220, "masking": 0.237}  # text alignment
_NAMES = {TEXT: "text alignment", IMAGE: "image alignment"}
_COLOURS = {"image_adapter": "#d55e00", "text_adapter": "#0072b2"}


def comparison(results: Results) -> Markup:
    """Published and measured numbers at the same share of the training, in words and as one table for each score."""
    judge = results.all[0].judge
    told_apart = paragraph(
        "Published: Stable Diffusion 1.5 with an IP-Adapter, images of the 10 classes of CIFAR-10, judged by CLIP "
        "ViT-B/32, read off the figure of the paper. "
        f"Here: the model named under “The run”, judged by “{judge}”. Two models, two judges: the "
        "numbers cannot be compared with each other, only how they run. Steps are set beside each other by their place "
        "in the training."
    )
    return Markup(told_apart + "".join(_table(results, tag) for tag in (TEXT, IMAGE)) + _stars(results))


def draw_comparison(results: Results) -> Figure:
    """Published curves at the left, measured ones at the right, each with axes of its own."""
    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    for row, tag in zip(figure.subplots(2, 2, sharex="col"), (TEXT, IMAGE), strict=True):
        for method in ADAPTERS:
            scores = [each.scores[tag].mean for each in results.curves[method]]
            steps = [each.step for each in results.curves[method]]
            _line(row[0], method, STEPS, CURVES[tag, method], "--")
            _line(row[1], method, steps, scores, "-")
            band = zip(*((each.scores[tag].low, each.scores[tag].high) for each in results.curves[method]), strict=True)
            row[1].fill_between(steps, *band, color=_COLOURS[method], alpha=0.15, linewidth=0)
        row[0].set_ylabel(_NAMES[tag].capitalize())
    upper, lower = figure.axes[:2], figure.axes[2:]
    upper[0].set_title("Published: Stable Diffusion 1.5, ViT-B/32", fontsize=10)
    upper[1].set_title(f"Measured here: judge “{results.all[0].judge}”", fontsize=10)
    for axis in lower:
        axis.set_xlabel("Training steps")
    upper[0].legend(frameon=False, fontsize=9)
    return figure


def _line(axis: Axes, method: str, steps: Sequence[int], values: Sequence[float], style: str) -> None:
    axis.plot(steps, values, style, color=_COLOURS[method], marker="o", markersize=4, label=TITLES[method])
    axis.grid(alpha=0.25)


def _table(results: Results, tag: str) -> Markup:
    steps = [each.step for each in results.curves[ADAPTERS[0]]]
    places = [_nearest(step / (steps[-1] or 1)) for step in steps]
    headers = ["", *(f"{STEPS[place]} / {step}" for place, step in zip(places, steps, strict=True))]
    rows: list[list[str]] = []
    for method in ADAPTERS:
        published, measured = CURVES[tag, method], [each.scores[tag].mean for each in results.curves[method]]
        rows.append([f"{TITLES[method]}, published", *(f"{published[place]:.3f}" for place in places)])
        rows.append([f"{TITLES[method]}, here", *(f"{value:.3f}" for value in measured)])
    return table(f"{_NAMES[tag].capitalize()} at step (published / here)", headers, rows)


def _stars(results: Results) -> Markup:
    rows = [
        [TITLES[method], f"{value:.3f}", f"{results.tuning_free[method].scores[TEXT].mean:.3f}"]
        for method, value in TUNING_FREE.items()
    ]
    return table("Text alignment without training", ["", "published", "here"], rows)


def _nearest(share: float) -> int:
    """The place of the published step that is nearest to a share of the training."""
    return min(range(len(STEPS)), key=lambda place: abs(STEPS[place] / STEPS[-1] - share))
