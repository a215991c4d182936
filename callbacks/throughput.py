"""How fast training runs."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override


class Throughput(Callback):
    """Logs images a second (of all ranks) and seconds a step of training, without time in evaluations.

    Args:
        every_n_steps: steps averaged into one value; default the trainer's `log_every_n_steps`.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__()
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(
                f"`every_n_steps` must be at least 1, got {every_n_steps}: leave it out for the trainer's."
            )
        self.every_n_steps = every_n_steps
        self._begun: float | None = None
        self._paused = 0.0
        self._images = self._first_step = self._told_step = 0
        self._is_first = True  # whether the window is the first of a fit

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun, self._told_step = None, trainer.global_step

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._begun is None:
            self._begin(trainer.global_step)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch, and log where the window is full."""
        assert self._begun is not None
        step = trainer.global_step
        self._images += len(batch["references"]) * trainer.world_size
        if step - self._told_step >= (self.every_n_steps or max(1, trainer.log_every_n_steps)):  # type: ignore[attr-defined]
            seconds = _now() - self._begun
            values = {
                "images_per_second": self._images / seconds,
                "seconds_per_step": seconds / (step - self._first_step),
            }
            for logger in trainer.loggers:
                logger.log_metrics({f"throughput/{name}": value for name, value in values.items()}, step=step)
            self._told_step = step
            self._begin(step)
        elif self._is_first and step > self._first_step:
            self._begin(step)  # all images may be encoded in the first step: where others follow it does not count

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._paused = _now()

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on: the window begins as much later as the evaluation took."""
        if self._begun is not None:
            self._begun += _now() - self._paused

    def _begin(self, step: int) -> None:
        self._is_first = self._begun is None
        self._begun, self._images, self._first_step = _now(), 0, step


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # kernels run behind Python: wait for them, once a window
    return time.perf_counter()
