"""The stages of the reproduction and the `maskst` arguments of each."""

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from callbacks.scoring.titles import TITLES
from scripts.reproduction.options import Options
from scripts.reproduction.process import ROOT
from scripts.reproduction.results import ADAPTERS, TUNING_FREE
from scripts.yaml_files import read_yaml

CONFIGS = {
    **{method: f"configs/predict/{method}.yaml" for method in TUNING_FREE},
    **{method: f"configs/fit/{method}.yaml" for method in ADAPTERS},
}
SWEEP = "configs/sweep/short.yaml"
MASKST = "scripts.cli"
_TRAINED = "lightning_modules.conditions.trained.TrainedAdapter"
_PICTURES = "scripts.reproduction.watch.EvaluationPictures"
_QUICK = ["--model.sampling.steps=10", "--data.evaluation_references=6", "--data.predict_references=6"]
_QUICK_DRAWN = {"train_per_style": 3, "test_per_style": 1}  # images of each content in each style
_QUICK_INTERVAL = 20
_EVALUATIONS = 7


class Stage(NamedTuple):
    """One part of the work."""

    name: str
    title: str
    cost: float  # expected time, in evaluations
    module: str  # what is run as a program; "" for the stage that runs in this process
    arguments: list[str]
    settings: int = 1  # of a sweep


def plan(options: Options) -> list[Stage]:
    """All stages, in order."""
    return [
        Stage("dataset", "dataset", 0.1, "scripts.reproduction.references", _prepare(options)),
        *(
            Stage(method, f"{TITLES[method]}, evaluation", 1.0, MASKST, validate(options, method))
            for method in TUNING_FREE
        ),
        *(Stage(method, f"{TITLES[method]}, training", 12.0, MASKST, fit(options, method)) for method in ADAPTERS),
        Stage("sweep", "strengths of all methods", float(_settings()), MASKST, sweep(options), _settings()),
        Stage("report", "figure and report", 0.5, "", []),
    ]


def validate(options: Options, method: str) -> list[str]:
    """Arguments that score a tuning-free method."""
    steps = [_QUICK_INTERVAL * place for place in range(_EVALUATIONS)]
    quick = [f"--scores.constant_steps={steps}"] if options.is_quick else []
    common = [*_common(options, method), f"--trainer.callbacks+={_PICTURES}"]
    return ["validate", *_configs([CONFIGS[method]], options.configs), *common, *quick]


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
        f"--trainer.callbacks+={_PICTURES}",
        f"--model.seed={options.seed}",
        "--ckpt_path=last",
        *(quick if options.is_quick else []),
    ]


def sweep(options: Options) -> list[str]:
    """Arguments that draw and score all methods over their strengths, and the trained adapters."""
    last = [str(run_folder(options, method) / "checkpoints" / "last.ckpt") for method in ADAPTERS]
    trained = {"condition": _TRAINED, "arguments": {"checkpoint": last}}
    return ["sweep", *_configs([SWEEP], options.configs), *_common(options, "sweep"), f"--sweep+={json.dumps(trained)}"]


def run_folder(options: Options, method: str) -> Path:
    """Where the run of a method writes."""
    return options.output.resolve() / "runs" / method


def references(options: Options) -> dict[str, Any]:
    """Arguments of the datamodule that say which references are used."""
    if options.data_root is None:
        return {"root": str(options.output.resolve() / "data"), **(_QUICK_DRAWN if options.is_quick else {})}
    root = options.data_root.resolve()
    return {"train": str(root / "object"), "test": str(root / "object_test")}


def counts_file(options: Options) -> Path:
    """Where the dataset stage writes how many references there are."""
    return options.output.resolve() / "references.json"


def _settings() -> int:
    """How many settings the sweep draws."""
    grids = read_yaml(ROOT / SWEEP)["sweep"]
    lists = [{**grid.get("arguments", {}), **grid.get("sampling", {})}.values() for grid in grids]
    return sum(prod(len(value) if isinstance(value, list) else 1 for value in each) for each in lists) + len(ADAPTERS)


def _prepare(options: Options) -> list[str]:
    return [json.dumps(references(options)), str(counts_file(options))]


def _configs(first: Sequence[str], more: Sequence[Path]) -> list[str]:
    files = [*first, *(str(file.resolve()) for file in more)]
    shipped, *others = (("--config", file) for file in files)
    # The numbers are those of one process, whatever the machine has; a config of the user may say otherwise.
    return [*shipped, "--trainer.devices=1", *(part for other in others for part in other)]


def _common(options: Options, method: str) -> list[str]:
    return [
        *([] if options.data_root is None else ["--data=StyleReferences"]),
        *(f"--data.{name}={value}" for name, value in references(options).items()),
        f"--data.seed={options.seed}",
        f"--seed_everything={options.seed}",
        f"--trainer.default_root_dir={run_folder(options, method)}",
        *(_QUICK if options.is_quick else []),
    ]
