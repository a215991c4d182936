"""The stages of the reproduction and the `maskst` arguments of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.reproduction.maskst import Report
from scripts.reproduction.options import Options
from scripts.reproduction.results import ADAPTERS, TITLES, TUNING_FREE

CONFIGS = {
    **{method: f"configs/predict/{method}.yaml" for method in TUNING_FREE},
    **{method: f"configs/fit/{method}.yaml" for method in ADAPTERS},
}
_PICTURES = "scripts.reproduction.watch.EvaluationPictures"
_QUICK = ["--model.sampling.steps=10", "--data.evaluation_references=6"]
_QUICK_DRAWN = {"train_per_style": 3, "test_per_style": 1}  # images of each content in each style
_QUICK_INTERVAL = 20
_EVALUATIONS = 7


class Stage(NamedTuple):
    """One part of the work."""

    name: str
    title: str
    cost: float  # expected time, in evaluations
    arguments: list[str] | None  # of `maskst`; None for a stage that runs in this process


def plan(options: Options) -> list[Stage]:
    """All stages, in order."""
    return [
        Stage("dataset", "dataset", 0.1, None),
        *(Stage(method, f"{TITLES[method]}, evaluation", 1.0, validate(options, method)) for method in TUNING_FREE),
        *(Stage(method, f"{TITLES[method]}, training", 10.0, fit(options, method)) for method in ADAPTERS),
        Stage("report", "figure and report", 0.2, None),
    ]


def validate(options: Options, method: str) -> list[str]:
    """Arguments that score a tuning-free method."""
    steps = [_QUICK_INTERVAL * place for place in range(_EVALUATIONS)]
    quick = [f"--scores.constant_steps={steps}"] if options.is_quick else []
    return ["validate", *_configs([CONFIGS[method]], options.configs), *_common(options, method), *quick]


def fit(options: Options, method: str) -> list[str]:
    """Arguments that train an adapter, or go on from its last checkpoint."""
    quick = [
        f"--trainer.max_steps={_QUICK_INTERVAL * (_EVALUATIONS - 1)}",
        f"--trainer.val_check_interval={_QUICK_INTERVAL}",
    ]
    return [
        "fit",
        *_configs([CONFIGS[method]], [*options.configs, *options.fit_configs]),
        *_common(options, method),
        f"--model.seed={options.seed}",
        "--ckpt_path=last",
        *(quick if options.is_quick else []),
    ]


def run_folder(options: Options, method: str) -> Path:
    """Where the run of a method writes."""
    return options.output.resolve() / "runs" / method


def data_arguments(options: Options) -> list[str]:
    """Which references are used."""
    if options.data_root is None:
        quick = [f"--data.{name}={value}" for name, value in _QUICK_DRAWN.items()] if options.is_quick else []
        return [f"--data.root={options.output.resolve() / 'data'}", *quick]
    root = options.data_root.resolve()
    return ["--data=StyleReferences", f"--data.train={root / 'object'}", f"--data.test={root / 'object_test'}"]


def prepare_references(options: Options, report: Report) -> dict[str, Any]:
    """Draw the miniature's references, or look at the given ones; how many there are."""
    report(0.0, "reading" if options.data_root else "drawing")
    from datamodules.miniature_references import MiniatureReferences
    from datamodules.style_references import StyleReferences

    references: StyleReferences
    if options.data_root is None:
        per_style = _QUICK_DRAWN if options.is_quick else {}
        references = MiniatureReferences(str(options.output.resolve() / "data"), **per_style)
        references.prepare_data()
    else:
        root = options.data_root.resolve()
        references = StyleReferences(str(root / "object"), str(root / "object_test"))
    sets = {"train": references.train_set, "test": references.test_set}
    return {name: {"references": len(each), "skipped": len(each.skipped)} for name, each in sets.items()}


def _configs(first: Sequence[str], more: Sequence[Path]) -> list[str]:
    files = [*first, *(str(file.resolve()) for file in more)]
    return [part for file in files for part in ("--config", file)]


def _common(options: Options, method: str) -> list[str]:
    return [
        *data_arguments(options),
        f"--data.seed={options.seed}",
        f"--seed_everything={options.seed}",
        f"--trainer.default_root_dir={run_folder(options, method)}",
        f"--trainer.callbacks+={_PICTURES}",
        *(_QUICK if options.is_quick else []),
    ]
