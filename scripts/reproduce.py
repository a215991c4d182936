"""Reproduces the training-curve comparison of arXiv 2502.07466: the Image-Adapter and the Text-Adapter along their
training steps, beside IP-Adapter, InstantStyle and masking, which need no training, and all of them at several
strengths. Without options everything runs on the shipped miniature, in at most 15 minutes on 2 CPU cores; nothing is
downloaded.

It writes, below the output folder: report.html (start here; opens without a network), figure.png, figure.svg,
summary.json, and the runs with their curves for TensorBoard, image grids and checkpoints.
"""

import argparse
import gc
import json
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

from callbacks.scoring.groups import TITLES
from datamodules.batches import check_seed
from datamodules.files import FolderInUseError, FolderLock, write_text
from datamodules.miniature.references import MiniatureReferences
from datamodules.names import digest
from datamodules.reading import read_json
from datamodules.style_references import StyleReferences
from scripts import cli
from scripts.paths import clock, to_path
from scripts.report.training import ADAPTERS, TUNING_FREE
from scripts.report.training_report import write_report
from scripts.stopping import STOP, stoppable

WAY_ON = "The same command continues from here; finished stages are kept."
SETTINGS, FINISHED = "settings.json", "finished.json"
SWEEP = "configs/sweep/short.yaml"
METHODS = {
    **{method: f"configs/predict/{method}.yaml" for method in TUNING_FREE},
    **{method: f"configs/fit/{method}.yaml" for method in ADAPTERS},
}
_TRAINED = "lightning_modules.conditions.trained.TrainedAdapter"
_QUICK = ["--model.sampling.steps=10", "--data.evaluation_references=6", "--data.predict_references=6"]
_QUICK_DRAWN = {"train_per_style": 3, "test_per_style": 1}  # images of each content in each style
_QUICK_STEPS, _QUICK_INTERVAL = 120, 20
_EPILOG = """\
Interrupted by Ctrl-C or a crash, the same command continues where it was. Relative paths start at the project's folder.

examples:
  scripts/reproduce --quick
  scripts/reproduce --fit-config configs/fit/published_objective.yaml --output outputs/reproduce_published
  scripts/reproduce --data-root data/cifar_styles --output outputs/reproduce_photos
"""
_LAYOUT = (
    "a set of your own in place of the drawn one: FOLDER/object holds the train references and FOLDER/object_test the "
    "test references, each as <class>/<class>/<article>-<class>-in-<style>_<i>.jpg"
)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line; ends the program where they are wrong."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("scripts/reproduce", description=__doc__, epilog=_EPILOG, formatter_class=style)
    folder: dict[str, Any] = {"metavar": "FOLDER", "type": to_path}
    files: dict[str, Any] = {"metavar": "FILE", "type": to_path, "action": "append", "default": []}
    add = parser.add_argument
    add("--quick", action="store_true", help="about 3 minutes: fewer training steps, references and sampling steps")
    add("--output", default=Path("outputs/reproduce"), help="default: outputs/reproduce", **folder)
    add("--data-root", help=_LAYOUT, **folder)
    add("--seed", metavar="N", type=int, default=42, help="of weights, order and noise (default: 42)")
    add("--config", help="YAML for every stage, such as another backbone; can be repeated", **files)
    published = "configs/fit/published_objective.yaml"
    add("--fit-config", help=f"YAML for both fits, such as {published}; can be repeated", **files)
    options = parser.parse_args(args)
    try:
        check_seed(options.seed, name="--seed")
    except ValueError as error:
        parser.error(str(error))
    for name, file in [*product(["--config"], options.config), *product(["--fit-config"], options.fit_config)]:
        if not file.is_file():
            parser.error(f"`{name}` {file} is no file: expected a YAML such as those of {cli.ROOT / 'configs'}.")
    for missing in (each.name for each in sets(options) if not each.is_dir()):
        parser.error(
            f"`--data-root` {options.data_root} has no folder `{missing}`: expected `object` with the train "
            "references and `object_test` with the test references. Give the folder that holds both."
        )
    return options


def sets(options: argparse.Namespace) -> list[Path]:
    """Folders of the train and the test references of `--data-root`; none without it."""
    return [options.data_root / name for name in ("object", "object_test")] if options.data_root else []


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """All that decides the results by readable names, files by their contents."""
    shipped = [*METHODS.values(), SWEEP, "configs/backbone/miniature.yaml"]
    files = [*sorted(cli.ROOT.glob("configs/defaults/*.yaml")), *(cli.ROOT / name for name in shipped)]
    files += [*options.config, *options.fit_config]
    return {
        "variant": "quick" if options.quick else "full",
        "seed": options.seed,
        "data root": str(options.data_root.resolve()) if options.data_root else None,
        **{f"contents of {str(file).removeprefix(f'{cli.ROOT}/')}": _digest([file]) for file in files},
        "contents of weights/miniature": _digest((cli.ROOT / "weights/miniature").rglob("*.*")),
        "contents of the data root": _digest(chain(*(folder.rglob("*") for folder in sets(options)))),
    }


def _digest(files: Iterable[Path]) -> str:
    found = sorted(path for path in files if path.is_file())
    return digest(b"".join(f"{path.name}\n".encode() + path.read_bytes() for path in found))


def check(folder: Path, settings: dict[str, Any]) -> None:
    """Raises ValueError where the folder was made with other settings, or holds files of something else."""
    path = folder / SETTINGS
    found = sorted(each.name for each in folder.glob("*") if each.name != ".lock")
    if found and not path.is_file():
        raise ValueError(
            f"`--output {folder}` holds {', '.join(found[:3])} but no `{SETTINGS}`, so another program made "
            "it: expected an empty folder, a new one, or one of an earlier run. Choose another `--output`."
        )
    known = read_json(path, "--output", "Choose another folder, or remove this one.") if found else settings
    if names := [name for name in {**known, **settings} if known.get(name) != settings.get(name)]:
        lines = "\n".join(f"  {name}: {known.get(name)} there, {settings.get(name)} now" for name in names)
        raise ValueError(
            f"`--output {folder}` was made with other settings:\n{lines}\nIts results cannot be mixed with new ones. "
            "Give the same settings to continue it, choose another `--output`, or remove the folder."
        )


def plan(options: argparse.Namespace) -> dict[str, list[str]]:
    """The `maskst` command of each stage, in order; a fit goes on from its last checkpoint."""
    trains, constant = [f"--model.seed={options.seed}", "--ckpt_path=last"], []
    if options.quick:
        constant = [f"--scores.constant_steps={[*range(0, _QUICK_STEPS + 1, _QUICK_INTERVAL)]}"]
        trains += [f"--trainer.max_steps={_QUICK_STEPS}", f"--trainer.val_check_interval={_QUICK_INTERVAL}"]
    last = [str(run_folder(options, method) / "checkpoints" / "last.ckpt") for method in ADAPTERS]
    added = json.dumps({"condition": _TRAINED, "arguments": {"checkpoint": last}})
    return {
        **{f"{TITLES[each]}, evaluation": _command("validate", options, each, *constant) for each in TUNING_FREE},
        **{f"{TITLES[each]}, training": _command("fit", options, each, *trains) for each in ADAPTERS},
        "strengths of all methods": _command("sweep", options, "sweep", f"--sweep+={added}"),
    }


def _command(name: str, options: argparse.Namespace, method: str, *more: str) -> list[str]:
    files = [*options.config, *(options.fit_config if name == "fit" else [])]
    return [
        *(name, "--config", METHODS.get(method, SWEEP)),
        "--trainer.devices=1",  # the numbers are those of one process; a config of the user may say otherwise
        *chain(*(("--config", str(file.resolve())) for file in files)),
        *(["--data=StyleReferences"] if options.data_root else []),
        *(f"--data.{key}={value}" for key, value in references(options).items()),
        f"--data.seed={options.seed}",
        f"--seed_everything={options.seed}",
        f"--trainer.default_root_dir={run_folder(options, method)}",
        *(_QUICK if options.quick else []),
        *more,
    ]


def run_folder(options: argparse.Namespace, method: str) -> Path:
    return Path(options.output.resolve() / "runs" / method)


def references(options: argparse.Namespace) -> dict[str, Any]:
    if options.data_root:
        return {name: str(folder.resolve()) for name, folder in zip(("train", "test"), sets(options), strict=True)}
    return {"root": str(options.output.resolve() / "data"), **(_QUICK_DRAWN if options.quick else {})}


def run(stages: dict[str, list[str]], folder: Path) -> dict[str, float]:
    """Run the stages that are not finished; the seconds that each took."""
    path, begun = folder / FINISHED, time.monotonic()
    seconds = read_json(path, "--output", "Remove it, to do all stages again.") if path.is_file() else {}
    for place, (title, command) in enumerate(stages.items(), start=1):
        if title in seconds:
            _say(f"{place} of {len(stages)}: {title}: done before, in {clock(seconds[title])}")
            continue
        _say(f"{place} of {len(stages)}: {title}, {clock(time.monotonic() - begun)} after the start")
        since = time.monotonic()
        try:
            cli.main(command)
        except (ValueError, OSError, RuntimeError) as error:
            raise RuntimeError(f"The stage “{title}” failed: {error}") from error
        seconds[title] = time.monotonic() - since
        write_text(path, json.dumps(seconds, indent=1) + "\n")
        gc.collect()  # the trainer and the networks of a stage hold each other
    return seconds


def reproduce(options: argparse.Namespace) -> Path:
    """Run what is not finished, and make figure, summary and report of it; the place of the report."""
    folder, settings, stages = options.output, settings_of(options), plan(options)
    check(folder, settings)
    lock = FolderLock(folder, "--output")
    lock.take()
    try:
        write_text(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
        facts: dict[str, Any] = {"seconds": run(stages, folder)}
        facts["commands"] = {title: shlex.join(["maskst", *command]) for title, command in stages.items()}
        datamodule = (StyleReferences if options.data_root else MiniatureReferences)(**references(options))
        runs = {method: run_folder(options, method) for method in METHODS}
        return write_report(runs, run_folder(options, "sweep") / "scores", datamodule, settings, **facts)
    finally:
        lock.release()


def main(args: Sequence[str] | None = None) -> int:
    """Start or continue a reproduction; the exit code of the program."""
    options = parse(args)
    try:
        _say(f"Finished: open {reproduce(options)}")
    except (ValueError, OSError, FolderInUseError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except RuntimeError as error:  # of a stage
        sys.stderr.write(f"{error}\nFinished stages are kept: the same command repeats this one.\n")
        return 1
    finally:
        STOP.way_on = WAY_ON  # in place of what the command that was stopped says of itself
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with stoppable(WAY_ON):
        code = main()
    sys.exit(code)
