"""What callbacks of an evaluation share: validation and test seen as start, batches and finish."""

import warnings
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from lightning_modules.outputs import Generations

# A process without pictures computes what all have gathered.
warnings.filterwarnings("ignore", "The ``compute`` method of metric")


class EvaluationCallback(Callback):
    """Turns Lightning's validation and test hooks into `start`, `add` and `finish`; no sanity check."""

    def __init__(self) -> None:
        super().__init__()
        self._loaded_step = 0

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the evaluation before."""

    def add(self, generations: Generations) -> None:
        """Take in one batch of generated pictures."""

    def finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report on all batches; called on every rank."""

    def step(self, trainer: Trainer) -> int:
        """The training step that is evaluated: outside of `fit`, that of the loaded checkpoint."""
        return trainer.global_step if fitting(trainer) else max(trainer.global_step, self._loaded_step)

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remember the checkpoint's step: Lightning restores its own counter in `fit` only."""
        self._loaded_step = int(checkpoint.get("global_step", 0))

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start an evaluation."""
        if not trainer.sanity_checking:
            self.start(trainer, pl_module)

    @override
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add one batch."""
        if not trainer.sanity_checking:
            self.add(outputs)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the evaluation."""
        if not trainer.sanity_checking:
            self.finish(trainer, pl_module)

    @override
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start an evaluation."""
        self.start(trainer, pl_module)

    @override
    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add one batch."""
        self.add(outputs)

    @override
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the evaluation."""
        self.finish(trainer, pl_module)


def fitting(trainer: Trainer) -> bool:
    """Whether an evaluation belongs to a `fit`."""
    return trainer.state.fn == TrainerFn.FITTING
