"""A grid of references x prompts x samples: this project, its options, and diffusers' pipeline, by turns."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Trainer
from PIL import Image

from callbacks.prediction_writer import PredictionWriter
from datamodules.miniature.references import MiniatureReferences
from datamodules.style_references import PROMPTS
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import MINIATURE, Backbone, Runtime, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer
from scripts.benchmarks import QUIET, Bar, by_turns, seconds, spread
from scripts.benchmarks.plain import Plain

_ROOT = Path(__file__).parents[2]
# Rounding to 8 bits may go either way where batches of different sizes differ in the last bits of a float.
_LEVELS = 1.0


@dataclass(frozen=True)
class Grid:
    """What is drawn, and how.

    Args:
        references: style references.
        prompts: prompts, at most 5.
        samples: pictures for each reference and prompt.
        batch_size: pictures that this project draws at a time.
        steps: denoising steps.
        guidance_scale: of classifier-free guidance.
        turns: times that both are timed.
    """

    references: int = 8
    prompts: int = 5
    samples: int = 4
    batch_size: int = 40
    steps: int = 20
    guidance_scale: float = 4.0
    turns: int = 3

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return self.references * self.prompts * self.samples

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of the datamodule that make the grid's jobs."""
        return {
            "generation_batch_size": self.batch_size,
            "prompts": list(PROMPTS[: self.prompts]),
            "samples_per_prompt": self.samples,
            "predict_references": self.references,
        }

    def module(self, backbone: Backbone, runtime: Runtime = Runtime()) -> StyleTransfer:
        """Masking, loaded."""
        sampling = SamplingSettings(steps=self.steps, guidance_scale=self.guidance_scale, negative_prompt="")
        module = StyleTransfer(Masking(), backbone, sampling, runtime=runtime)
        module.configure_model()
        return module

    def draw(self, module: StyleTransfer, data: dict[str, Any], out: Path) -> None:
        """The whole grid by the Trainer, as `maskst predict` runs it: nothing is encoded from an earlier turn."""
        module.generator.forget()
        trainer = Trainer(callbacks=[PredictionWriter(str(out))], **QUIET)
        datamodule = MiniatureReferences(**self.settings, **data)
        trainer.predict(module, datamodule=datamodule, return_predictions=False)


class Pair(NamedTuple):
    """A reference and a prompt with their samples: one call of the plain way."""

    image: Path
    content: str
    prompt: str
    seeds: list[int]
    name: str


def pairs_of(grid: Grid, data: dict[str, Any]) -> list[Pair]:
    """The calls of the plain way that make the grid."""
    datamodule = MiniatureReferences(**grid.settings, **data)
    datamodule.prepare_data()
    pairs = []
    for (reference, prompt), jobs in groupby(datamodule.predict_jobs, key=lambda job: (job.reference, job.prompt)):
        [image] = Path(datamodule.root, "object_test", reference.key).parent.glob(f"{Path(reference.key).name}.*")
        name = pair_name(reference.key, prompt)
        pairs.append(Pair(image, reference.content, prompt, [job.seed for job in jobs], name))
    return pairs


def pair_name(key: str, prompt: str) -> str:
    """Name of the folder of a pair's pictures."""
    return f"{key.replace('/', ' ')} {prompt}"


def weights_of(backbone: Backbone) -> tuple[Path, Path]:
    """Folder of the weights and file of the IP-Adapter, which diffusers is given as well.

    Raises ValueError where the backbone is not one folder on disk.
    """
    folder = MINIATURE if backbone.model == "miniature" else Path(backbone.model)
    if not folder.is_dir() or backbone.image_encoder or backbone.text_tower or backbone.vae:
        raise ValueError(
            f"`backbone.model`: comparing with diffusers takes all weights from one folder on disk; got {backbone}. "
            "Name such a folder, or leave out the parts grid and processes."
        )
    return folder, Path(backbone.ip_adapter or folder / "ip_adapter.safetensors")


def measure_grid(name: str, backbone: Backbone, data: dict[str, Any], grid: Grid, bar: float) -> list[Bar]:
    """How many times faster this project is, both after loading, medians; and whether both draw the same."""
    pairs = pairs_of(grid, data)
    plain = Plain(*weights_of(backbone), grid.steps, grid.guidance_scale)
    module = grid.module(backbone)
    with tempfile.TemporaryDirectory() as folder:

        def draw_plain(turn: int) -> None:
            for pair in pairs:
                plain(pair.image, pair.content, pair.prompt, pair.seeds, Path(folder, f"plain{turn}", pair.name))

        ours, theirs = by_turns(
            grid.turns, lambda turn: grid.draw(module, data, Path(folder, f"ours{turn}")), draw_plain
        )
        differences, deviation = compare(*(Path(folder, f"{who}{grid.turns - 1}") for who in ("ours", "plain")))
    details: dict[str, float | str] = {
        "of_turns": spread([slow / fast for fast, slow in zip(ours, theirs, strict=True)]),
        "seconds_ours": spread(ours),
        "seconds_diffusers": spread(theirs),
        "pictures": float(grid.pictures),
        "batch": float(grid.batch_size),
    }
    said = {"mean_difference": differences.mean(), "standard_deviation_of_the_pictures": deviation}
    return [
        Bar(f"{name}: speed-up over diffusers", median(theirs) / median(ours), "x", bar, True, details),
        Bar(f"{name}: largest difference", float(differences.max()), "of 255", _LEVELS, False, said),
    ]


def compare(ours: Path, plain: Path) -> tuple[Any, float]:
    """Differences of the pictures in both folders `(pictures, height, width, 3)`, and how much the pictures vary."""
    differences, pictures = [], []
    lines = [line for file in ours.glob("generations-*.jsonl") for line in file.read_text().splitlines()]
    for line in map(json.loads, lines):
        other = plain / pair_name(line["reference"]["key"], line["prompt"]) / f"{line['seed']}.png"
        mine, stock = (np.asarray(Image.open(path), dtype=np.int16) for path in (ours / line["file"], other))
        differences.append(np.abs(mine - stock))
        pictures.append(mine)
    return np.stack(differences), float(np.stack(pictures).std())


def our_command(backbone: Backbone, data: dict[str, Any], grid: Grid, out: Path) -> list[str]:
    """`maskst predict` of the whole grid."""
    model, ip_adapter = (str(path.resolve()) for path in weights_of(backbone))
    options = {
        "config": "configs/predict/masking.yaml",
        "model.backbone.model": model,
        "model.backbone.ip_adapter": ip_adapter,
        "model.sampling.steps": grid.steps,
        "model.sampling.guidance_scale": grid.guidance_scale,
        "trainer.default_root_dir": out,
        **{f"data.{name}": value for name, value in {**data, **grid.settings}.items()},
    }
    return [sys.executable, "-m", "scripts.cli", "predict", *_given(options)]


def plain_command(backbone: Backbone, pair: Pair, grid: Grid, out: Path) -> list[str]:
    """The stock pipeline for one pair."""
    model, ip_adapter = weights_of(backbone)
    options = {"model": model, "ip_adapter": ip_adapter, "image": pair.image, "content": pair.content}
    options |= {"prompt": pair.prompt, "steps": grid.steps, "guidance_scale": grid.guidance_scale, "out": out}
    return [sys.executable, "-m", "scripts.benchmarks.plain", *_given(options), "--seeds", *map(str, pair.seeds)]


def _given(options: dict[str, Any]) -> list[str]:
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def measure_processes(backbone: Backbone, data: dict[str, Any], grid: Grid, timed: int) -> list[Bar]:
    """How many times faster one process for the grid is than one for each pair, start and loading included.

    Of those, `timed` are timed, whose median counts for all pairs; 0 times all of them.
    """
    pairs = pairs_of(grid, data)
    chosen = pairs[:: max(1, len(pairs) // timed)][:timed] if timed else pairs
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        commands = [plain_command(backbone, pair, grid, out / pair.name) for pair in chosen]
        theirs = [_run(command) for command in commands[: len(chosen) // 2]]
        ours = _run(our_command(backbone, data, grid, out / "ours"))
        theirs += [_run(command) for command in commands[len(chosen) // 2 :]]
        drawn = len(list((out / "ours").glob("*.png")))
    if drawn != grid.pictures:
        raise RuntimeError(f"`maskst predict` wrote {drawn} pictures; expected {grid.pictures}.")
    whole = sum(theirs) if timed == 0 else median(theirs) * len(pairs)
    how = "all timed" if len(chosen) == len(pairs) else f"median of {len(chosen)} timed x {len(pairs)}"
    details: dict[str, float | str] = {"seconds_ours": ours, "seconds_of_one_process_a_pair": spread(theirs)}
    details["all_pairs"] = f"{whole:.0f} s ({how})"
    return [Bar("one process a pair: speed-up", whole / ours, "x", 10, True, details)]


def _run(command: list[str]) -> float:
    return seconds(lambda: subprocess.run(command, cwd=_ROOT, check=True, capture_output=True))
