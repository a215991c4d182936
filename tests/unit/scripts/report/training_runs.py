"""Run folders with the published scores, as `validate` and `fit` leave them, and their image grids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from callbacks.image_grid import Row, draw_grid
from callbacks.scoring.scored import Scored
from scripts.report.tables import IMAGE, LEAKED, TEXT
from scripts.report.training import ADAPTERS, Training
from scripts.report.training_figure import PUBLISHED, STEPS
from scripts.report.training_report import read_runs
from tests.unit.scripts.report.scored_folder import write_rows

TAGS = {"text": TEXT, "image": IMAGE, "leaked": LEAKED}
PROMPTS = ("A rocket", "A bench")
# Text and image alignment at each step, or of a tuning-free method.
CURVES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ip_adapter": ((0.205,), (0.605,)),
    "instantstyle": ((0.220,), (0.560,)),
    "masking": ((0.237,), (0.530,)),
    **{method: (PUBLISHED[TEXT, method], PUBLISHED[IMAGE, method]) for method in ADAPTERS},
}
LEAKS = {"ip_adapter": 0.4, "instantstyle": 0.2, "masking": 0.1, "image_adapter": 0.1, "text_adapter": 0.1}
Values = dict[str, Sequence[float]]  # of "text", "image" and "leaked": one of each reference


def published(references: int = 6) -> dict[tuple[str, int], Values]:
    """Values of all methods and steps with the published means, which every reference has up to a common shift."""
    shifts = [0.01 * (place - (references - 1) / 2) for place in range(references)]
    return {
        (method, step): {
            "text": [text + shift for shift in shifts],
            "image": [image + shift for shift in shifts],
            "leaked": [LEAKS[method]] * references,
        }
        for method, curves in CURVES.items()
        for step, text, image in zip(STEPS, *curves, strict=False)
    }


def write_runs(root: Path, values: dict[tuple[str, int], Values] | None = None) -> dict[str, Path]:
    """Run folders of all methods, by default with the published scores."""
    values = published() if values is None else values
    runs = {method: root / method for method, _ in values}
    for method, folder in runs.items():
        steps = [step for name, step in values if name == method]
        rows = [row for step in steps for row in _rows(method, step, values[method, step])]
        groups = [_group(method, step, rows) for step in steps]
        about = {"judges": ["a judge"], "failures": {}, "cut_texts": {}, "groups": groups}
        write_rows(folder, rows, about)
    return runs


def training(root: Path, values: dict[tuple[str, int], Values] | None = None) -> Training:
    return read_runs(write_runs(root, values))


def write_grids(runs: dict[str, Path], scored: Scored) -> None:
    """Image grids in which a picture's red is its step / 20 and its green its reference's place, and a fit's config."""
    references = scored.seen("reference")[:4]
    for group in scored.groups:
        rows = [
            Row(_tile(255, place), {prompt: _tile((group.step or 0) // 20, place) for prompt in PROMPTS})
            for place, _ in enumerate(references)
        ]
        file = runs[group.method] / "grids" / f"step_{group.step:06d}.png"
        file.parent.mkdir(exist_ok=True)
        draw_grid(rows, group.method).save(file)
    objective = {"class_path": "BoundedContrast", "init_args": {"weight": 10.0}}
    model = {"backbone": {"model": "miniature"}, "rescale": True, "rescale_in_training": True, "dropped_image": "zero"}
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "weight_decay": 0.0}}
    config = {
        "model": {"init_args": {**model, "objective": objective, "optimizer": optimizer}},
        "data": {"init_args": {"batch_size": 12}},
        "trainer": {"max_steps": 2400, "val_check_interval": 400},
    }
    (runs["image_adapter"] / "config.yaml").write_text(yaml.safe_dump(config))


def _tile(red: int, green: int) -> Image.Image:
    return Image.new("RGB", (128, 128), (red, green, 0))


def _rows(method: str, step: int, values: Values) -> list[dict[str, Any]]:
    return [
        {
            **{"path": f"{place}-{prompt}.png", "method": method, "setting": "", "prompt": prompt, "judge": "a judge"},
            **{"reference": f"reference {place}", "reference_path": "gone.png", "content": "dog", "style": "pop art"},
            **{"sample": 0, "seed": 42, "step": step},
            **{TAGS[name]: each[place] for name, each in values.items()},
        }
        for place in range(len(next(iter(values.values()))))
        for prompt in PROMPTS
    ]


def _group(method: str, step: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    sampling = {"scheduler": "UniPCMultistepScheduler", "steps": 20, "negative_prompt": ""}
    settings = {"sampling": sampling, "condition": {"method": method}, "backbone": {"model": "miniature"}}
    pictures = sum(row["step"] == step for row in rows)
    return {"method": method, "setting": "", "varied": {}, "pictures": pictures, "settings": settings, "step": step}
