"""Measures, side by side in one run, what the project's own code costs, and what the plain way costs.

fit: a training step of `fit` (loader, cached features, both predictions, loss, backward, optimizer; no logger)
against forward + backward of the bare UNet over the same 2 x batch rows. Every step is followed by a bare one.

predict: the share of `predict`'s wall time, after loading, that passes inside the UNet.

two_means: exact batched 2-means of 512 x 1024 scalars against a loop over scikit-learn's KMeans, by turns.

grid: `predict` of references x prompts x samples against diffusers' pipeline called once for each reference and
prompt, both after loading, by turns; and whether both draw the same pictures.

sdxl: the same on a small SDXL with random weights.

processes: one process of `maskst predict` for the grid against one process of the pipeline for each reference and
prompt, start and loading included.

runtime: seconds a picture under the options of Runtime and in bfloat16; no bars.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Literal, get_args

import torch
from rich.console import Console
from rich.table import Table

from datamodules.files import write_text
from lightning_modules.diffusion.config import Backbone
from scripts.architectures import ARCHITECTURES, Architecture, Config
from scripts.benchmarks import Bar, Row, spread
from scripts.benchmarks.grid import Grid, measure_grid, measure_processes
from scripts.benchmarks.own_cost import measure_fit, measure_predict, measure_runtime, measure_two_means
from scripts.random_backbone import write_random_backbone
from scripts.stopping import stoppable

Part = Literal["fit", "predict", "two_means", "grid", "sdxl", "processes", "runtime"]
_FASTER, _NEVER_SLOWER = 1.3, 1.0


def benchmark(
    backbone: Backbone = Backbone(),
    parts: Sequence[Part] = get_args(Part),
    batch_size: int = 12,
    fit_steps: int = 20,
    predict_runs: int = 3,
    pictures: int = 30,
    sampling_steps: int = 20,
    repetitions: int = 5,
    grid: Grid = Grid(),
    sdxl: Grid = Grid(references=2, steps=10),
    timed_processes: int = 3,
    runtime: Grid = Grid(references=2, samples=2, batch_size=20, steps=10),
    output: str = "outputs/benchmark.json",
) -> None:
    """Print the numbers beside their bars, and write them to a JSON file.

    Args:
        backbone: the frozen networks; the miniature by default, or any other by `--backbone.model` and its like.
        parts: what is measured.
        batch_size: style references a training step.
        fit_steps: training steps that are timed, each beside a bare UNet step.
        predict_runs: times that prediction is run.
        pictures: pictures of each of these runs.
        sampling_steps: denoising steps of each picture.
        repetitions: times that both 2-means are run, by turns.
        grid: pictures of the parts grid and processes.
        sdxl: pictures of the part sdxl.
        timed_processes: processes of the pipeline that are timed, whose median counts for all; 0 times all.
        runtime: pictures of the part runtime.
        output: JSON file to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = {"root": f"{folder}/data", "train_per_style": 1, "test_per_style": 1}
        small = Path(folder, "sdxl")
        measures: dict[Part, Callable[[], Sequence[Bar | Row]]] = {
            "fit": lambda: measure_fit(backbone, data, fit_steps, batch_size),
            "predict": lambda: measure_predict(backbone, data, predict_runs, pictures, sampling_steps),
            "two_means": lambda: measure_two_means(repetitions),
            "grid": lambda: measure_grid("grid", backbone, data, grid, _FASTER),
            "sdxl": lambda: measure_grid("small SDXL", write_small_sdxl(small), data, sdxl, _NEVER_SLOWER),
            "processes": lambda: measure_processes(backbone, data, grid, timed_processes),
            "runtime": lambda: measure_runtime(backbone, data, runtime),
        }
        measured = [row for part, measure in measures.items() if part in parts for row in measure()]
    _report(measured, backbone.model, output)


def _report(measured: Sequence[Bar | Row], model: str, output: str) -> None:
    bars, rows = [row for row in measured if isinstance(row, Bar)], [row for row in measured if isinstance(row, Row)]
    threads = torch.get_num_threads()
    result = {"backbone": model, "threads": threads, "torch": torch.__version__}
    told = {"measured": [{**bar._asdict(), "passed": bar.passed} for bar in bars]}
    told["runtime"] = [row._asdict() for row in rows]
    write_text(Path(output), json.dumps(result | told, indent=1) + "\n")
    if bars:
        Console().print(bars_table(bars, f"{model}, {threads} threads; also in {output}"))
    if rows:
        Console().print(runtime_table(rows, f"options of predict, {model}, {threads} threads"))


def small_sdxl() -> Architecture:
    """All parts of SDXL, the UNet with a fifth of its channels and two transformer layers where it has ten."""
    sdxl, time, feature = ARCHITECTURES["sdxl"], 32, 128
    text: Config = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    unet: Config = {
        "sample_size": 16,
        "block_out_channels": (64, 128, 256),
        "transformer_layers_per_block": (1, 2, 2),
        "attention_head_dim": (1, 2, 4),
        "cross_attention_dim": 2 * text["hidden_size"],
        "addition_time_embed_dim": time,
        "projection_class_embeddings_input_dim": 6 * time + feature,
    }
    vae: Config = {
        "sample_size": 64,
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "norm_num_groups": 8,
        "layers_per_block": 1,
    }
    return replace(
        sdxl,
        unet=sdxl.unet | unet,
        vae=sdxl.vae | vae,
        text_encoder=sdxl.text_encoder | text,
        text_encoder_2=(sdxl.text_encoder_2 or {}) | text | {"projection_dim": feature},
        image_encoder=sdxl.image_encoder | text | {"image_size": 64, "patch_size": 8, "projection_dim": feature},
    )


def write_small_sdxl(folder: Path, architecture: Architecture | None = None) -> Backbone:
    """Writes one with random weights, by default `small_sdxl()`, and returns the settings that load it."""
    write_random_backbone(folder, architecture or small_sdxl())
    return Backbone(model=str(folder), ip_adapter=str(folder / "ip_adapter.bin"))


def bars_table(bars: Sequence[Bar], title: str) -> Table:
    """The numbers beside their bars."""
    table = Table(title=title)
    for name in ("measured", "value", "bar", "passed"):
        table.add_column(name, no_wrap=True)
    table.add_column("medians")
    for bar in bars:
        side = "at least" if bar.at_least else "at most"
        said = {name: value if isinstance(value, str) else f"{value:.4g}" for name, value in bar.details.items()}
        details = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items())
        values = f"{bar.value:.3g} {bar.unit}", f"{side} {bar.bar:g} {bar.unit}", "yes" if bar.passed else "NO"
        table.add_row(bar.name, *values, details)
    return table


def runtime_table(rows: Sequence[Row], title: str) -> Table:
    """Seconds a picture beside those of the plain run."""
    table = Table("option", "s a picture: min / median / max", "of plain", "first run, s", "note", title=title)
    plain = next(row.seconds for row in rows if row.name == "plain")
    for name, times, first, note in rows:
        share = median(times) / median(plain) if times and plain else float("nan")
        values = (spread(times, 4), f"{share:.2f}") if times else ("", "")
        table.add_row(name, *values, "" if first is None else f"{first:.1f}", note)
    return table


def listed_parts(args: Sequence[str]) -> list[str]:
    """The arguments, with the words behind `--parts` as the one list that the parser takes."""
    given = list(args)
    if "--parts" not in given:
        return given
    first = given.index("--parts") + 1
    last = next((place for place in range(first, len(given)) if given[place].startswith("-")), len(given))
    words = given[first:last]
    return given if words and words[0].startswith("[") else [*given[:first], f"[{', '.join(words)}]", *given[last:]]


def main(args: list[str] | None = None) -> None:
    """The command line."""
    from jsonargparse import auto_cli

    auto_cli(benchmark, args=listed_parts(sys.argv[1:] if args is None else args), description=__doc__)


if __name__ == "__main__":
    with stoppable():
        main()
