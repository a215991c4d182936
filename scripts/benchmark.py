"""Measures, side by side in one run, what the project's own code costs beside the networks.

1. A training step of `fit` (loader, cached features, both predictions, loss, backward, optimizer; no logger) against
   forward + backward of the bare UNet over the same 2 x batch rows. Every step is followed by a bare one.
2. The share of `predict`'s wall time, after loading, that passes inside the UNet.
3. Exact batched 2-means of 512 x 1024 scalars against a loop over scikit-learn's KMeans, by turns.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from typing_extensions import override

from callbacks.files import write_text
from callbacks.prediction_writer import PredictionWriter
from datamodules.miniature_references import MiniatureReferences
from lightning_modules.adapter_reconstruction import AdapterReconstruction
from lightning_modules.conditions import Masking, two_means_keep_mask
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer

_WARM_UP = 3
_OPTIONS: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Bar(NamedTuple):
    """One measured number and the bar that it must pass."""

    name: str
    value: float
    unit: str
    bar: float
    at_least: bool  # else at most
    details: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of the bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar


class StepClock(Callback):
    """Times whole training steps, and after each one the bare UNet over what that step gave it."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.bare: list[float] = []
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self._begun = 0.0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Catch the UNet's inputs from now on."""
        self._unet: nn.Module = pl_module.model.unet  # type: ignore[union-attr, assignment]
        self._hook = self._unet.register_forward_pre_hook(self._catch, with_kwargs=True)
        self._begun = now()

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the step, which began where the bare UNet before it ended."""
        self.steps.append(now() - self._begun)
        args, options = fresh_leaves(self._inputs)
        begun = now()
        self._unet(*args, **options)[0].square().mean().backward()
        self.bare.append(now() - begun)
        self._begun = now()

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the UNet as it was."""
        self._hook.remove()

    def _catch(self, _unet: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._inputs = args, options


class PredictClock(Callback):
    """Times prediction after loading, and the part of it inside the UNet."""

    def __init__(self) -> None:
        self.total = self.inside = 0.0
        self._begun = self._entered = 0.0

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; the networks are loaded."""
        unet: nn.Module = pl_module.model.unet  # type: ignore[union-attr, assignment]
        self._hooks = [unet.register_forward_pre_hook(self._enter), unet.register_forward_hook(self._leave)]
        self._begun = now()

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self.total = now() - self._begun
        for hook in self._hooks:
            hook.remove()

    def _enter(self, *_: Any) -> None:
        self._entered = now()

    def _leave(self, *_: Any) -> None:
        self.inside += now() - self._entered


def now() -> float:
    """Seconds, once the accelerator has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def fresh_leaves(value: Any) -> Any:
    """A copy of nested tensors that needs gradients where the original does, and no more than that."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)):
        return type(value)(fresh_leaves(each) for each in value)
    if isinstance(value, dict):
        return {key: fresh_leaves(each) for key, each in value.items()}
    return value


def measure_fit(backbone: Backbone, data: dict[str, Any], steps: int, batch_size: int) -> Bar:
    """A training step as a multiple of the bare UNet's forward + backward, medians."""
    clock = StepClock()
    trainer = Trainer(max_steps=_WARM_UP + steps, limit_val_batches=0, callbacks=[clock], **_OPTIONS)
    module = AdapterReconstruction(backbone=backbone)
    trainer.fit(module, datamodule=MiniatureReferences(batch_size=batch_size, **data))
    step, bare = (statistics.median(times[_WARM_UP:]) for times in (clock.steps, clock.bare))
    details = {"step_seconds": step, "bare_unet_seconds": bare, "steps": float(steps)}
    return Bar("fit: step / bare UNet", step / bare, "x", 1.15, False, details)


def measure_predict(backbone: Backbone, data: dict[str, Any], runs: int, pictures: int, sampling_steps: int) -> Bar:
    """The UNet's share of prediction, the median of some runs."""
    shares, totals = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            clock = PredictClock()
            trainer = Trainer(callbacks=[clock, PredictionWriter(f"{folder}/pictures")], **_OPTIONS)
            module = StyleTransfer(Masking(), backbone, SamplingSettings(steps=sampling_steps))
            datamodule = MiniatureReferences(predict_references=max(1, pictures // 5), **data)
            trainer.predict(module, datamodule=datamodule, return_predictions=False)
        shares.append(clock.inside / clock.total)
        totals.append(clock.total)
    details = {"seconds": statistics.median(totals), "runs": float(runs)}
    return Bar("predict: share of UNet", 100 * statistics.median(shares), "%", 85, True, details)


def measure_two_means(repetitions: int, rows: int = 512, dim: int = 1024) -> Bar:
    """How many times faster exact 2-means is than a loop over scikit-learn, medians."""
    from sklearn.cluster import KMeans

    features = torch.randn(2, rows, dim, generator=torch.Generator().manual_seed(0))
    products = nn.functional.normalize(features, dim=-1).prod(dim=0)
    columns = [row[:, None].numpy() for row in products]

    two_means_keep_mask(products)
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(seconds(lambda: two_means_keep_mask(products)))
        theirs.append(seconds(lambda: [KMeans(2, random_state=0).fit(column) for column in columns]))
    fast, slow = statistics.median(ours), statistics.median(theirs)
    details = {"batched_seconds": fast, "sklearn_seconds": slow, "repetitions": float(repetitions)}
    return Bar(f"2-means {rows} x {dim}: speed-up", slow / fast, "x", 100, True, details)


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = now()
    function()
    return now() - begun


def benchmark(
    backbone: Backbone = Backbone(),
    batch_size: int = 12,
    fit_steps: int = 20,
    predict_runs: int = 3,
    pictures: int = 30,
    sampling_steps: int = 20,
    repetitions: int = 5,
    output: str = "outputs/benchmark.json",
) -> None:
    """Print the three numbers beside their bars, and write them to a JSON file.

    Args:
        backbone: the frozen networks; the miniature by default, or any other by `--backbone.model` and its like.
        batch_size: style references a training step.
        fit_steps: training steps that are timed, each beside a bare UNet step.
        predict_runs: times that prediction is run.
        pictures: pictures of each of these runs.
        sampling_steps: denoising steps of each picture.
        repetitions: times that both 2-means are run, by turns.
        output: JSON file to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = {"root": f"{folder}/data", "train_per_style": 1, "test_per_style": 1}
        bars = [
            measure_fit(backbone, data, fit_steps, batch_size),
            measure_predict(backbone, data, predict_runs, pictures, sampling_steps),
            measure_two_means(repetitions),
        ]
    measured = [{**bar._asdict(), "passed": bar.passed} for bar in bars]
    about = {"backbone": backbone.model, "threads": torch.get_num_threads(), "torch": torch.__version__}
    write_text(Path(output), json.dumps({**about, "measured": measured}, indent=1) + "\n")
    Console().print(as_table(bars, f"{backbone.model}, {torch.get_num_threads()} threads; also in {output}"))


def as_table(bars: list[Bar], title: str) -> Table:
    """The numbers beside their bars."""
    table = Table(title=title)
    for name in ("measured", "value", "bar", "passed"):
        table.add_column(name, no_wrap=True)
    table.add_column("medians")
    for bar in bars:
        side = "at least" if bar.at_least else "at most"
        details = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in bar.details.items())
        values = f"{bar.value:.3g} {bar.unit}", f"{side} {bar.bar:g} {bar.unit}", "yes" if bar.passed else "NO"
        table.add_row(bar.name, *values, details)
    return table


def main(args: list[str] | None = None) -> None:
    """The command line."""
    from jsonargparse import auto_cli

    auto_cli(benchmark, args=args, description=__doc__)


if __name__ == "__main__":
    main()
