"""Seconds a picture under the options of `Runtime` and in bfloat16, on the machine at hand."""

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.table import Table

from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import Backbone, Runtime
from lightning_modules.style_transfer import StyleTransfer
from scripts.benchmarks.bars import seconds, spread
from scripts.benchmarks.grid import Grid, draw_ours

_WHY = "not measured: without an accelerator there is nothing to offload to"
_LONGEST_REASON = 100


class Row(NamedTuple):
    """An option: seconds a picture of each turn, those of its first run, or why there are none."""

    name: str
    seconds: list[float]
    first: float | None = None
    note: str = ""


def options(backbone: Backbone) -> dict[str, tuple[Backbone, Runtime]]:
    """The options that are measured, by name."""
    return {
        "plain": (backbone, Runtime()),
        "channels_last": (backbone, Runtime(channels_last=True)),
        "vae_tiling": (backbone, Runtime(vae_tiling=True)),
        "bfloat16": (replace(backbone, dtype="bfloat16"), Runtime()),
        "compile": (backbone, Runtime(compile=True)),
        "offload": (backbone, Runtime(offload=True)),
    }


def measure_runtime(backbone: Backbone, data: dict[str, Any], grid: Grid) -> list[Row]:
    """Each option in turn, after a first run that is told apart: it compiles and warms up."""
    rows, modules = {}, {}
    for name, (weights, runtime) in options(backbone).items():
        if runtime.offload and not torch.cuda.is_available():
            rows[name] = Row(name, [], note=_WHY)
            continue
        module = StyleTransfer(Masking(), weights, grid.sampling, runtime=runtime)
        try:
            module.configure_model()
            rows[name] = Row(name, [], _timed(module, data, grid))
            modules[name] = module
        except Exception as error:  # whatever the compiler says, it belongs into the table
            rows[name] = Row(name, [], note=f"failed: {type(error).__name__}: {error}"[:_LONGEST_REASON])
    for _ in range(grid.turns):
        for name, module in modules.items():
            rows[name].seconds.append(_timed(module, data, grid) / grid.pictures)
    return list(rows.values())


def _timed(module: StyleTransfer, data: dict[str, Any], grid: Grid) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return seconds(lambda: draw_ours(module, grid.datamodule(data), Path(folder, "pictures")))


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """For the result file."""
    return [row._asdict() for row in rows]


def runtime_table(rows: list[Row], title: str) -> Table:
    """Seconds a picture beside those of the plain run."""
    table = Table("option", "s a picture: min / median / max", "of plain", "first run, s", "note", title=title)
    plain = next(row.seconds for row in rows if row.name == "plain")
    for name, times, first, note in rows:
        values = ("", "")
        if times:
            share = statistics.median(times) / statistics.median(plain) if plain else float("nan")
            values = spread(times, 4), f"{share:.2f}"
        table.add_row(name, *values, "" if first is None else f"{first:.1f}", note)
    return table
