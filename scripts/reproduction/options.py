"""What `scripts/reproduce` can be asked for."""

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datamodules.batches import check_seed
from scripts.paths import to_path
from scripts.reproduction.process import ROOT

_DESCRIPTION = """\
Reproduces the training-curve comparison of arXiv 2502.07466: the Image-Adapter and the Text-Adapter along their
training steps, beside IP-Adapter, InstantStyle and masking, which need no training, and all of them at several
strengths. Without options everything runs on the shipped miniature, in at most 15 minutes on 2 CPU cores; nothing is
downloaded.

It writes, below the output folder: report.html (start here; opens without a network), figure.png, figure.svg,
summary.json, and the runs with their curves for TensorBoard, image grids and checkpoints.
"""
_EPILOG = """\
Interrupted by Ctrl-C or a crash, the same command continues where it was. Each stage prints to <output>/logs.
Relative paths start at the project's folder.

examples:
  scripts/reproduce --quick
  scripts/reproduce --fit-config configs/fit/published_objective.yaml --output outputs/reproduce_published
  scripts/reproduce --data-root data/cifar_styles --output outputs/reproduce_photos
"""
_CONFIGS = (
    *(f"configs/defaults/{name}.yaml" for name in ("evaluate", "fit", "sweep")),
    "configs/backbone/miniature.yaml",
)


@dataclass(frozen=True)
class Options:
    """The command line; all but `output` decides the results."""

    output: Path = Path("outputs/reproduce")
    is_quick: bool = False
    seed: int = 42
    data_root: Path | None = None
    configs: list[Path] = field(default_factory=list)  # of every stage
    fit_configs: list[Path] = field(default_factory=list)  # of both fits

    def settings(self, shipped: Sequence[str]) -> dict[str, Any]:
        """All that decides the results by readable names, the files of `shipped` and the options by their contents."""
        files = [*(ROOT / name for name in (*_CONFIGS, *shipped)), *self.configs, *self.fit_configs]
        return {
            "variant": "quick" if self.is_quick else "full",
            "seed": self.seed,
            "data root": None if self.data_root is None else str(self.data_root.resolve()),
            **{f"contents of {_name(file)}": _digest([file]) for file in files},
            "contents of weights/miniature": _digest(sorted((ROOT / "weights/miniature").rglob("*.*"))),
            **({"contents of the data root": _digest(self._data)} if self.data_root else {}),
        }

    @property
    def _data(self) -> list[Path]:
        folders = [Path(self.data_root or "", name) for name in ("object", "object_test")]
        return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def parse(args: Sequence[str] | None) -> Options:
    """The options of the command line; ends the program where they are wrong."""
    parser = argparse.ArgumentParser(
        "scripts/reproduce",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="about 3 minutes: fewer training steps, references and sampling steps"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", type=to_path, default=Options.output, help="default: outputs/reproduce"
    )
    parser.add_argument(
        "--data-root",
        metavar="FOLDER",
        type=to_path,
        help="a set of your own in place of the drawn one: FOLDER/object holds the train references and "
        "FOLDER/object_test the test references, each as <class>/<class>/<article>-<class>-in-<style>_<i>.jpg",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=42, help="of weights, order and noise (default: 42)")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=to_path,
        action="append",
        default=[],
        help="YAML for every stage, such as another backbone; can be repeated",
    )
    parser.add_argument(
        "--fit-config",
        metavar="FILE",
        type=to_path,
        action="append",
        default=[],
        help="YAML for both fits, such as configs/fit/published_objective.yaml; can be repeated",
    )
    found = parser.parse_args(args)
    try:
        return _checked(found)
    except ValueError as error:
        parser.error(str(error))


def _checked(found: argparse.Namespace) -> Options:
    for name, files in (("--config", found.config), ("--fit-config", found.fit_config)):
        for file in files:
            if not file.is_file():
                raise ValueError(f"`{name}` {file} is no file: expected a YAML such as those of {ROOT / 'configs'}.")
    for name in ("object", "object_test") if found.data_root else ():
        if not (found.data_root / name).is_dir():
            raise ValueError(
                f"`--data-root` {found.data_root} has no folder `{name}`: expected `object` with the train references "
                "and `object_test` with the test references. Give the folder that holds both."
            )
    check_seed(found.seed, name="--seed")
    return Options(found.output, found.quick, found.seed, found.data_root, found.config, found.fit_config)


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def _digest(files: Sequence[Path]) -> str:
    """Short fingerprint of the contents of `files`; empty for none."""
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest() if files else ""
