"""Lines of `alignment.jsonl` as AlignmentScores writes them, with values that a test chooses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.reproduction.results import Evaluation, Results, evaluation, read_results

STEPS = (0, 400, 800, 1200, 1600, 2000, 2400)
# Read off the published figure: text and image alignment at each step, or of a tuning-free method.
PUBLISHED = {
    "ip_adapter": ((0.205,), (0.605,)),
    "instantstyle": ((0.220,), (0.560,)),
    "masking": ((0.237,), (0.530,)),
    "image_adapter": (
        (0.204, 0.234, 0.251, 0.2505, 0.2485, 0.2445, 0.2415),
        (0.605, 0.498, 0.436, 0.423, 0.435, 0.421, 0.416),
    ),
    "text_adapter": (
        (0.204, 0.248, 0.251, 0.245, 0.247, 0.2365, 0.236),
        (0.605, 0.488, 0.390, 0.394, 0.406, 0.400, 0.409),
    ),
}
LEAKS = {"ip_adapter": 0.4, "instantstyle": 0.2, "masking": 0.1, "image_adapter": 0.1, "text_adapter": 0.1}


def line(method: str, step: int, by_reference: dict[str, Sequence[float]], images: int = 5) -> dict[str, Any]:
    """One line, from the means of each reference."""
    size = len(next(iter(by_reference.values())))
    means = {tag: sum(values) / size for tag, values in by_reference.items()}
    sampling = {"scheduler": "UniPCMultistepScheduler", "steps": 20, "negative_prompt": ""}
    return {
        "method": method,
        "judge": "a judge",
        "stage": "validate",
        "step": step,
        "constant_steps": None,
        "scores": means,
        "intervals": {tag: [mean - 0.01, mean + 0.01] for tag, mean in means.items()},
        "images": size * images,
        "references": list(range(0, 2 * size, 2)),
        "images_by_reference": [images] * size,
        "means_by_reference": {tag: list(values) for tag, values in by_reference.items()},
        "settings": {"sampling": sampling, "condition": {"method": method}, "backbone": {"model": "miniature"}},
    }


def evaluated(method: str, step: int, **by_reference: Sequence[float]) -> Evaluation:
    """An evaluation, from `text`, `image` and `leaked` of each reference; what is missing is 0."""
    names = {"text": "alignment/text", "image": "alignment/image", "leaked": "leakage/leaked"}
    size = len(next(iter(by_reference.values())))
    return evaluation(line(method, step, {tag: by_reference.get(name, [0.0] * size) for name, tag in names.items()}))


def write_runs(root: Path, references: int = 4) -> dict[str, Path]:
    """Log folders of all methods with the published means, which every reference has up to a common shift."""
    shifts = [0.01 * (place - (references - 1) / 2) for place in range(references)]
    for method, (texts, images) in PUBLISHED.items():
        lines = [
            line(
                method,
                step,
                {
                    "alignment/text": [text + shift for shift in shifts],
                    "alignment/image": [image + shift for shift in shifts],
                    "leakage/leaked": [LEAKS[method]] * references,
                },
            )
            for step, text, image in zip(STEPS, texts, images, strict=False)
        ]
        (root / method).mkdir(parents=True)
        (root / method / "alignment.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    return {method: root / method for method in PUBLISHED}


def published_results(root: Path) -> Results:
    """The published figure's numbers as results."""
    return read_results(write_runs(root))
