"""What the project's own code costs: in a training step, in prediction, in 2-means; and what its options cost."""

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor, nn

from callbacks.prediction_writer import PredictionWriter
from datamodules.miniature.references import MiniatureReferences
from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.conditions import Masking, two_means_keep_mask
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer
from scripts.benchmarks import QUIET, Bar, Row, Stopwatch, by_turns, seconds
from scripts.benchmarks.grid import Grid

_WARM_UP = 3
_LONGEST_REASON = 100
_NOTHING = "not measured: without an accelerator there is nothing to offload to"


def fresh_leaves(value: Any) -> Any:
    """A copy of nested tensors that needs gradients where the original does, and no more than that."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)):
        return type(value)(fresh_leaves(each) for each in value)
    if isinstance(value, dict):
        return {key: fresh_leaves(each) for key, each in value.items()}
    return value


def measure_fit(backbone: Backbone, data: dict[str, Any], steps: int, batch_size: int) -> list[Bar]:
    """A training step as a multiple of the bare UNet's forward + backward over what it was given, medians."""
    step, bare = Stopwatch(), Stopwatch()
    given: list[Any] = []

    def catch(_: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        given[:] = args, options

    def begin(_: Trainer, module: LightningModule) -> None:
        module.model.unet.register_forward_pre_hook(catch, with_kwargs=True)  # type: ignore[union-attr]
        step.start()

    def run_bare(_: Trainer, module: LightningModule, *__: Any) -> None:
        step.stop()
        args, options = fresh_leaves(given)
        bare.start()
        module.model.unet(*args, **options)[0].square().mean().backward()  # type: ignore[union-attr, operator]
        bare.stop()
        step.start()

    clock = LambdaCallback(on_train_start=begin, on_train_batch_end=run_bare)
    trainer = Trainer(max_steps=_WARM_UP + steps, limit_val_batches=0, callbacks=[clock], **QUIET)
    datamodule = MiniatureReferences(batch_size=batch_size, **data)
    trainer.fit(AdapterReconstruction(backbone=backbone), datamodule=datamodule)
    whole, unet = (median(watch.times[_WARM_UP:]) for watch in (step, bare))
    details = {"step_seconds": whole, "bare_unet_seconds": unet, "steps": float(steps)}
    return [Bar("fit: step / bare UNet", whole / unet, "x", 1.15, False, details)]


def measure_predict(
    backbone: Backbone, data: dict[str, Any], runs: int, pictures: int, sampling_steps: int
) -> list[Bar]:
    """The UNet's share of prediction after loading, the median of some runs."""
    whole, shares = Stopwatch(), []
    for _ in range(runs):
        unet = Stopwatch()

        def begin(_: Trainer, module: LightningModule, unet: Stopwatch = unet) -> None:
            module.model.unet.register_forward_pre_hook(unet.start)  # type: ignore[union-attr]
            module.model.unet.register_forward_hook(unet.stop)  # type: ignore[union-attr]
            whole.start()

        with tempfile.TemporaryDirectory() as folder:
            clock = LambdaCallback(on_predict_start=begin, on_predict_end=whole.stop)
            trainer = Trainer(callbacks=[clock, PredictionWriter(f"{folder}/pictures")], **QUIET)
            module = StyleTransfer(Masking(), backbone, SamplingSettings(steps=sampling_steps))
            datamodule = MiniatureReferences(predict_references=max(1, pictures // 5), **data)
            trainer.predict(module, datamodule=datamodule, return_predictions=False)
        shares.append(sum(unet.times) / whole.times[-1])
    details = {"seconds": median(whole.times), "runs": float(runs)}
    return [Bar("predict: share of UNet", 100 * median(shares), "%", 85, True, details)]


def measure_two_means(repetitions: int, rows: int = 512, dim: int = 1024) -> list[Bar]:
    """How many times faster exact 2-means is than a loop over scikit-learn, medians."""
    from sklearn.cluster import KMeans

    features = torch.randn(2, rows, dim, generator=torch.Generator().manual_seed(0))
    products = nn.functional.normalize(features, dim=-1).prod(dim=0)
    columns = [row[:, None].numpy() for row in products]

    two_means_keep_mask(products)
    ours, theirs = by_turns(
        repetitions,
        lambda _: two_means_keep_mask(products),
        lambda _: [KMeans(2, random_state=0).fit(column) for column in columns],
    )
    fast, slow = median(ours), median(theirs)
    details = {"batched_seconds": fast, "sklearn_seconds": slow, "repetitions": float(repetitions)}
    return [Bar(f"2-means {rows} x {dim}: speed-up", slow / fast, "x", 100, True, details)]


def measure_runtime(backbone: Backbone, data: dict[str, Any], grid: Grid) -> list[Row]:
    """Every option in turn, after a first run that is told apart: it compiles and warms up."""
    rows: dict[str, Row] = {}
    modules: dict[str, StyleTransfer] = {}

    def timed(name: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(lambda: grid.draw(modules[name], data, Path(folder, "pictures")))

    for name in ("plain", "channels_last", "vae_tiling", "bfloat16", "compile", "offload"):
        rows[name] = Row(name, [], note=_NOTHING if name == "offload" and not torch.cuda.is_available() else "")
        if rows[name].note:
            continue
        weights = replace(backbone, dtype="bfloat16") if name == "bfloat16" else backbone
        runtime = Runtime(**({} if name in ("plain", "bfloat16") else {name: True}))
        try:
            modules[name] = grid.module(weights, runtime)
            rows[name] = Row(name, [], timed(name))
        except Exception as error:  # whatever the compiler says, it belongs into the table
            modules.pop(name, None)
            rows[name] = Row(name, [], note=f"failed: {type(error).__name__}: {error}"[:_LONGEST_REASON])
    for _ in range(grid.turns):
        for name in modules:
            rows[name].seconds.append(timed(name) / grid.pictures)
    return list(rows.values())
