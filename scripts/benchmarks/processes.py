"""The grid by one process of this project against one process of diffusers for each reference and prompt."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lightning_modules.diffusion.config import Backbone
from scripts.benchmarks.bars import Bar, seconds, spread
from scripts.benchmarks.grid import Grid, Pair, adapter_file, local_folder, pairs_of

_ROOT = Path(__file__).parents[2]


def our_command(backbone: Backbone, data: dict[str, Any], grid: Grid, out: Path) -> list[str]:
    """`maskst predict` of the whole grid."""
    module = grid.datamodule(data)
    options = {
        "config": "configs/predict/masking.yaml",
        "model.backbone.model": str(local_folder(backbone).resolve()),
        "model.backbone.ip_adapter": str(adapter_file(backbone).resolve()),
        "model.sampling.steps": grid.steps,
        "model.sampling.guidance_scale": grid.guidance_scale,
        "trainer.default_root_dir": out,
        **{f"data.{name}": value for name, value in data.items()},
        "data.generation_batch_size": grid.batch_size,
        "data.prompts": f"[{', '.join(module.prompts)}]",
        "data.samples_per_prompt": grid.samples,
        "data.predict_references": grid.references,
    }
    given = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "scripts.cli", "predict", *given]


def plain_command(backbone: Backbone, pair: Pair, grid: Grid, out: Path) -> list[str]:
    """The stock pipeline for one pair."""
    options = {
        "model": local_folder(backbone),
        "ip_adapter": adapter_file(backbone),
        "image": pair.image,
        "content": pair.content,
        "prompt": pair.prompt,
        "steps": grid.steps,
        "guidance_scale": grid.guidance_scale,
        "out": out,
    }
    given = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "scripts.benchmarks.plain", *given, "--seeds", *map(str, pair.seeds)]


def measure_processes(backbone: Backbone, data: dict[str, Any], grid: Grid, timed: int, bar: float = 10) -> Bar:
    """How many times faster one process is, start and loading included.

    Args:
        backbone: weights in one folder.
        data: of the datamodule.
        grid: what is drawn; `turns` is not read.
        timed: processes of diffusers that are timed, whose median counts for all pairs; 0 times all of them.
        bar: the least speed-up.
    """
    pairs = pairs_of(grid.datamodule(data))
    chosen = pairs[:: max(1, len(pairs) // timed)][:timed] if timed else pairs
    theirs = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for pair in chosen[: len(chosen) // 2]:
            theirs.append(_run(plain_command(backbone, pair, grid, out / pair.name)))
        ours = _run(our_command(backbone, data, grid, out / "ours"))
        drawn = len(list((out / "ours").glob("*.png")))
        for pair in chosen[len(chosen) // 2 :]:
            theirs.append(_run(plain_command(backbone, pair, grid, out / pair.name)))
    if drawn != grid.pictures:
        raise RuntimeError(f"`maskst predict` wrote {drawn} pictures; expected {grid.pictures}.")
    whole = sum(theirs) if timed == 0 else statistics.median(theirs) * len(pairs)
    how = "all timed" if len(chosen) == len(pairs) else f"median of {len(chosen)} timed x {len(pairs)}"
    details: dict[str, float | str] = {
        "seconds_ours": ours,
        "seconds_of_one_process_a_pair": spread(theirs),
        "all_pairs": f"{whole:.0f} s ({how})",
    }
    return Bar("one process a pair: speed-up", whole / ours, "x", bar, True, details)


def _run(command: list[str]) -> float:
    return seconds(lambda: subprocess.run(command, cwd=_ROOT, check=True, capture_output=True))
