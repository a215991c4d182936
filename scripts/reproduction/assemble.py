"""The last stage: figure, summary and report of what the runs wrote."""

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from callbacks.scoring.scored import Scored
from datamodules.files import write_atomically, write_text
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from scripts.report.page import render
from scripts.report.tables import write_tables
from scripts.reproduction.figure import Strip, draw_figure
from scripts.reproduction.findings import find, number
from scripts.reproduction.folder import OutputFolder, write_json
from scripts.reproduction.options import Options
from scripts.reproduction.process import Report
from scripts.reproduction.report import TITLE, Facts, closing, opening
from scripts.reproduction.results import ADAPTERS, LEAKED, TUNING_FREE, Results, read_results
from scripts.reproduction.stages import MASKST, counts_file, plan, run_folder
from scripts.reproduction.summary import summary
from scripts.yaml_files import read_yaml

_PACKAGES = ("torch", "lightning", "diffusers", "transformers", "torchmetrics", "scikit-learn", "numpy")

_OBJECTIVES = {
    "PublishedObjective": "the published objective PublishedObjective, unbounded below",
    "BoundedContrast": "this project's BoundedContrast, not the published objective",
}


def assemble(options: Options, folder: OutputFolder, report: Report) -> None:
    """Write figure.png, figure.svg, summary.json and report.html."""
    report(0.1, "comparing")
    runs = {method: run_folder(options, method) for method in (*TUNING_FREE, *ADAPTERS)}
    results = read_results(runs)
    config = read_yaml(runs[ADAPTERS[0]] / "config.yaml")
    index, choice = choose_reference(results, runs, _first_prompt(config))
    findings = find(results)
    report(0.4, "drawing")
    figure = draw_figure(results, read_strip(results, runs, index, _first_prompt(config)))
    for kind, resolution in (("svg", 100), ("png", 200)):
        path = folder.path / f"figure.{kind}"
        write_atomically(path, partial(figure.savefig, format=kind, dpi=resolution))
    marks = {stage.title: folder.mark(stage.name) or {} for stage in plan(options)[:-1]}
    facts = Facts(
        results=results,
        findings=findings,
        about=about(options, results, config),
        is_miniature=config["model"]["init_args"]["backbone"]["model"] == "miniature",
        is_quick=options.is_quick,
        figure=folder.path / "figure.svg",
        strip_choice=choice,
        grids={method: sorted_grids(path) for method, path in runs.items()},
        seconds={title: mark["seconds"] for title, mark in marks.items()},
        commands={stage.title: command(stage.arguments) for stage in plan(options) if stage.module == MASKST},
        versions={package: version(package) for package in _PACKAGES},
    )
    report(0.8, "writing")
    write_json(folder.path / "summary.json", {**summary(facts), "folder": folder.settings})
    scored = Scored.read(run_folder(options, "sweep") / "scores")
    page = render(scored, write_tables(scored, scored.folder), opening(facts), closing(facts), title=TITLE)
    write_text(folder.path / "report.html", page)


def choose_reference(results: Results, runs: dict[str, Path], prompt: str) -> tuple[int, str]:
    """The reference that panel (b) shows, and how it was chosen: by IP-Adapter alone, no compared method has a say."""
    evaluation = results.tuning_free["ip_adapter"]
    leaks = dict(zip(evaluation.references, evaluation.scores[LEAKED].by_reference, strict=True))
    kept = [int(path.stem) for path in (runs["ip_adapter"] / "pictures").glob("*.png")]
    index = max(sorted(kept), key=lambda each: leaks[each])
    return index, (
        f"Results for the prompt “{prompt}”. Of the {len(kept)} references whose pictures are kept, this is the one "
        f"whose content IP-Adapter leaks most ({number(leaks[index], LEAKED)} of its pictures; the first of them if "
        "several): the choice looks at no other method."
    )


def read_strip(results: Results, runs: dict[str, Path], index: int, prompt: str) -> Strip:
    """The pictures of panel (b)."""
    return Strip(
        reference=_image(runs["ip_adapter"] / "pictures" / f"{index}.png"),
        prompt=prompt,
        results={
            method: [(each.step, _image(_picture(runs[method], each.step, index))) for each in results.curves[method]]
            for method in ADAPTERS
        },
    )


def about(options: Options, results: Results, config: dict[str, Any]) -> dict[str, str]:
    """What was run, in words, from the configuration that the fits wrote down."""
    model, trainer = config["model"]["init_args"], config["trainer"]
    settings = results.tuning_free["ip_adapter"].settings
    counts = json.loads(counts_file(options).read_text())
    sets = ", ".join(f"{name} {each['references']} (skipped {each['skipped']})" for name, each in counts.items())
    rescaled = "rescaled" if model["rescale"] and model["rescale_in_training"] else "not rescaled"
    return {
        "variant": "quick" if options.is_quick else "full",
        "seed": str(options.seed),
        "backbone": _words(_told(settings["backbone"], Backbone(), "model", "dtype")),
        "sampling": _words(
            _told(settings["sampling"], SamplingSettings(), "scheduler", "steps", "guidance_scale", "scale")
        ),
        "judge": results.all[0].judge,
        "references": sets if options.data_root is None else f"{sets}, of {options.data_root}",
        "objective": f"{component(model['objective'])}; the content feature is {rescaled} in training; a dropped image "
        f"is {'P(0)' if model['dropped_image'] == 'zero' else 'P(-f)'}",
        "optimizer": component(model["optimizer"]),
        "training": f"{trainer['max_steps']} steps of {config['data']['init_args']['batch_size']} references, "
        f"evaluated every {trainer['val_check_interval']} steps",
        "InstantStyle": _words(results.tuning_free["instantstyle"].settings["condition"]),
        "masking": _words(results.tuning_free["masking"].settings["condition"]),
    }


def sorted_grids(run: Path) -> list[tuple[int, Path]]:
    """The image grids of a run with their steps."""
    return [(int(path.stem.removeprefix("step_")), path) for path in sorted((run / "grids").glob("step_*.png"))]


def command(arguments: Iterable[str]) -> str:
    """A stage as the command that repeats it."""
    return shlex.join(["maskst", *arguments])


def _picture(run: Path, step: int, index: int) -> Path:
    folder = run / "pictures" / f"step_{step:06d}"
    found = sorted(folder.glob(f"{index}_*.png"))
    if not found:
        raise ValueError(
            f"`{folder}` lacks the picture of reference {index}: remove the folder `{run}` and its mark in `stages` "
            "and start again to have that stage repeated."
        )
    return found[0]


def _image(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _first_prompt(config: dict[str, Any]) -> str:
    prompt: str = config["data"]["init_args"]["prompts"][0]
    return prompt


def component(configured: dict[str, Any]) -> str:
    """A configured class in words: "BoundedContrast (weight 10.0, margin 0.1)"."""
    name, arguments = configured["class_path"].rpartition(".")[2], configured.get("init_args") or {}
    shown = _OBJECTIVES.get(name, name)
    return f"{shown} ({_words(arguments)})" if arguments else shown


def _told(values: dict[str, Any], defaults: Backbone | SamplingSettings, *always: str) -> dict[str, Any]:
    """The settings that are worth telling: those named, and those that are not as they are by default."""
    usual = json.loads(json.dumps(asdict(defaults)))
    return {name: value for name, value in values.items() if name in always or value != usual.get(name)}


def _words(values: dict[str, Any]) -> str:
    """Settings in words, those that are not set left out."""
    shown = {name.replace("_", " "): value for name, value in values.items() if value not in (None, "")}
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "no settings"
