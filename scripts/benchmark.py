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
from pathlib import Path
from typing import Literal, get_args

import torch
from rich.console import Console

from callbacks.files import write_text
from lightning_modules.diffusion.config import Backbone
from scripts.benchmarks.bars import Bar, as_table
from scripts.benchmarks.grid import Grid, measure_grid
from scripts.benchmarks.own_cost import measure_fit, measure_predict, measure_two_means
from scripts.benchmarks.processes import measure_processes
from scripts.benchmarks.runtime import Row, as_json, measure_runtime, runtime_table
from scripts.benchmarks.small_sdxl import write_small_sdxl
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
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        data = {"root": f"{folder}/data", "train_per_style": 1, "test_per_style": 1}

        def measure_sdxl() -> list[Bar]:
            return measure_grid("small SDXL", write_small_sdxl(Path(folder, "sdxl")), data, sdxl, _NEVER_SLOWER)

        def note_runtime() -> list[Bar]:
            rows.extend(measure_runtime(backbone, data, runtime))
            return []

        measures: dict[Part, Callable[[], list[Bar]]] = {
            "fit": lambda: [measure_fit(backbone, data, fit_steps, batch_size)],
            "predict": lambda: [measure_predict(backbone, data, predict_runs, pictures, sampling_steps)],
            "two_means": lambda: [measure_two_means(repetitions)],
            "grid": lambda: measure_grid("grid", backbone, data, grid, _FASTER),
            "sdxl": measure_sdxl,
            "processes": lambda: [measure_processes(backbone, data, grid, timed_processes)],
            "runtime": note_runtime,
        }
        bars = [bar for part, measure in measures.items() if part in parts for bar in measure()]
    _report(bars, rows, backbone, output)


def _report(bars: list[Bar], rows: list[Row], backbone: Backbone, output: str) -> None:
    measured = [{**bar._asdict(), "passed": bar.passed} for bar in bars]
    about = {"backbone": backbone.model, "threads": torch.get_num_threads(), "torch": torch.__version__}
    result = {**about, "measured": measured, "runtime": as_json(rows)}
    write_text(Path(output), json.dumps(result, indent=1) + "\n")
    where = f"{backbone.model}, {torch.get_num_threads()} threads"
    console = Console()
    if bars:
        console.print(as_table(bars, f"{where}; also in {output}"))
    if rows:
        console.print(runtime_table(rows, f"options of predict, {where}"))


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
