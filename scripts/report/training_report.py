"""Numbers and page of the training curves, beside what was published."""

import json
from functools import partial, reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from callbacks.scoring.groups import TITLES
from callbacks.scoring.scored import Group, Scored
from callbacks.scoring.table import joined, read_table
from datamodules.files import write_atomically, write_text
from datamodules.style_references import StyleReferences
from scripts.paths import clock
from scripts.report import training_figure
from scripts.report.cells import TEMPLATES, tag_of
from scripts.report.page import draw, render
from scripts.report.tables import LEAKED, write_tables
from scripts.report.training import ADAPTERS, Finding, Training, course, findings, headline, label
from scripts.report.training_figure import Strip, draw_figure
from scripts.yaml_files import read_yaml

_OBJECTIVES = {
    "PublishedObjective": "the published objective PublishedObjective, unbounded below",
    "BoundedContrast": "this project's BoundedContrast, not the published objective",
}
_PACKAGES = ("torch", "lightning", "diffusers", "transformers", "torchmetrics", "scikit-learn", "numpy")
_MARGIN, _TITLE = 4, 40  # pixels between the cells of an image grid, and above its first row


def read_runs(runs: dict[str, Path]) -> Training:
    """The scores of all runs, each of which lies in the folder of its method."""
    table = reduce(joined, map(read_table, runs.values()))
    return Training(Scored(table, runs[ADAPTERS[0]].parent))


def read_strip(training: Training, runs: dict[str, Path]) -> Strip:
    """The pictures of panel (b), cut from the image grids; the reference is chosen by IP-Adapter alone."""
    ip_adapter, prompts = training.tuning_free["ip_adapter"], training.scored.seen("prompt")
    rows = [row for row in training.scored.rows if row["method"] == ip_adapter.method]  # in the order of the grid
    shown = [*dict.fromkeys(row["reference"] for row in rows)]
    cells = _cells(runs[ip_adapter.method], ip_adapter, 1 + len(prompts))[: len(shown)]
    leaks = [training.estimate(ip_adapter, LEAKED, reference=key).mean for key in shown[: len(cells)]]
    place = leaks.index(max(leaks))
    results = {
        method: [(group.step or 0, _cells(runs[method], group, 1 + len(prompts))[place][1]) for group in curve]
        for method, curve in training.curves.items()
    }
    return Strip(cells[place][0], rows[0]["prompt"], results, len(cells), max(leaks))


def write_report(
    runs: dict[str, Path], scores: Path, datamodule: StyleReferences, settings: dict[str, Any], **facts: Any
) -> Path:
    """Write figure.svg, figure.png, summary.json and report.html two folders above `scores`; the report's place.

    `runs` are the folders of the methods' runs, `scores` that of all methods at several strengths, `datamodule` has the
    references of all runs, `settings` are those that the output folder was made with, and `facts` the `seconds` and
    `commands` of the stages.
    """
    folder, training = scores.parents[2], read_runs(runs)
    found, strip = findings(training), read_strip(training, runs)
    figure = draw_figure(training, strip)
    for kind, resolution in (("svg", 100), ("png", 200)):
        write_atomically(folder / f"figure.{kind}", partial(figure.savefig, format=kind, dpi=resolution))
    config = read_yaml(runs[ADAPTERS[0]] / "config.yaml")
    facts |= {
        "about": about(training, config, datamodule, settings),
        "is_miniature": config["model"]["init_args"]["backbone"]["model"] == "miniature",
        "is_quick": settings["variant"] == "quick",
        "versions": {package: version(package) for package in _PACKAGES},
        "headline": headline([*found["tuning_free"], *found["curves"]]),
        "courses": [course(training, method) for method in ADAPTERS],
    }
    told = summary(training, found) | facts | {"folder": settings}
    write_text(folder / "summary.json", json.dumps(told, indent=1) + "\n")
    grids = {label(group): _grid_file(runs[group.method], group) for group in training.groups}
    more = {"training": training, "findings": found, "strip": strip, "figure": (folder / "figure.svg").read_bytes()}
    more |= {"published": training_figure, "grids": grids, **facts}
    scored, title = Scored.read(scores), "Training curves, style and leakage"
    page = render(scored, write_tables(scored), draw(scored), "training.html.j2", title, **more)
    write_text(folder / "report.html", page)
    return folder / "report.html"


def about(
    training: Training, config: dict[str, Any], datamodule: StyleReferences, settings: dict[str, Any]
) -> dict[str, str]:
    """What was run, in words, from the configuration that a fit wrote down."""
    model, trainer = config["model"]["init_args"], config["trainer"]
    told = {method: group.settings for method, group in training.tuning_free.items()}
    datamodule.prepare_data()
    sets = {"train": datamodule.train_set, "test": datamodule.test_set}
    counts = ", ".join(f"{name} {len(each)} (skipped {len(each.skipped)})" for name, each in sets.items())
    rescaled = "rescaled" if model["rescale"] and model["rescale_in_training"] else "not rescaled"
    dropped = "P(0)" if model["dropped_image"] == "zero" else "P(-f)"
    return {
        "variant": settings["variant"],
        "seed": str(settings["seed"]),
        "backbone": _words(told["ip_adapter"]["backbone"]),
        "sampling": _words(told["ip_adapter"]["sampling"]),
        "judge": training.judge,
        "references": counts if settings["data root"] is None else f"{counts}, of {settings['data root']}",
        "objective": f"{component(model['objective'])}; the content feature is {rescaled} in training; a dropped image "
        f"is {dropped}",
        "optimizer": component(model["optimizer"]),
        "training": f"{trainer['max_steps']} steps of {config['data']['init_args']['batch_size']} references, "
        f"evaluated every {trainer['val_check_interval']} steps",
        **{TITLES[method]: _words(told[method]["condition"]) for method in ("instantstyle", "masking")},
    }


def component(configured: dict[str, Any]) -> str:
    """A configured class in words: "BoundedContrast (weight 10.0, margin 0.1)"."""
    name, arguments = configured["class_path"].rpartition(".")[2], configured.get("init_args") or {}
    shown = _OBJECTIVES.get(name, name)
    return f"{shown} ({_words(arguments)})" if arguments else shown


def _words(values: dict[str, Any]) -> str:
    """Settings in words, those that are not set left out."""
    shown = {name.replace("_", " "): value for name, value in values.items() if value not in (None, "")}
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "no settings"


def summary(training: Training, found: dict[str, list[Finding]]) -> dict[str, Any]:
    """All scores with their intervals, and all differences."""
    judge, evaluations = training.judge, []
    for group in training.groups:
        estimates = {tag: training.scored.estimate(group, judge, tag) for tag in training.scored.tags(judge)}
        scores = {
            tag: {"mean": each.mean, "low": each.low, "high": each.high, "by_reference": each.means}
            for tag, each in estimates.items()
            if each
        }
        named = {"method": group.method, "step": group.step, "judge": judge, "images": group.pictures}
        evaluations.append({**named, "scores": scores, "settings": group.settings})
    told = {name: [each.facts for each in group] for name, group in found.items()}
    return {"references": training.scored.seen("reference"), "evaluations": evaluations, "findings": told}


def _grid_file(run: Path, group: Group) -> Path:
    return run / "grids" / f"step_{group.step or 0:06d}.png"


def _cells(run: Path, group: Group, columns: int) -> list[list[Image.Image]]:
    """The pictures of an image grid by row and column: the reference, then a result for each prompt."""
    with Image.open(_grid_file(run, group)) as opened:
        grid = opened.convert("RGB")
    pitch = (grid.width - _MARGIN) // columns
    size, lefts, tops = pitch - _MARGIN, range(_MARGIN, grid.width, pitch), range(_TITLE, grid.height, pitch)
    return [[grid.crop((left, top, left + size, top + size)) for left in lefts] for top in tops]


TEMPLATES.filters |= {"clock": clock, "tag_of": tag_of}
