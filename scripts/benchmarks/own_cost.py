"""What the project's own code costs beside the networks: in a training step, in prediction, in 2-means."""

import statistics
import tempfile
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from callbacks.prediction_writer import PredictionWriter
from datamodules.miniature.references import MiniatureReferences
from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.conditions import Masking, two_means_keep_mask
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer
from scripts.benchmarks.bars import QUIET, Bar, now, seconds

_WARM_UP = 3


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
    trainer = Trainer(max_steps=_WARM_UP + steps, limit_val_batches=0, callbacks=[clock], **QUIET)
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
            trainer = Trainer(callbacks=[clock, PredictionWriter(f"{folder}/pictures")], **QUIET)
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
