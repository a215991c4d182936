"""What callbacks of an evaluation share: its hooks as start, batches and finish, and TensorBoard's charts of scores."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from lightning_modules.outputs import Generations

_ANY_JUDGE = r"(?!.*_(low|high)$)(_.*)?$"  # with its suffix; matched from the start, and no interval
LAYOUT: dict[str, dict[str, list[Any]]] = {
    "alignment": {name: ["Multiline", [rf"alignment/{name}{_ANY_JUDGE}"]] for name in ("text", "image")},
    "leakage": {
        "leaked": ["Multiline", [rf"(?!leakage/leaked_among_all)leakage/leaked{_ANY_JUDGE}"]],
        "leaked among all": ["Multiline", [rf"leakage/leaked_among_all{_ANY_JUDGE}"]],
        "share masked": ["Multiline", [rf"mask/share_masked{_ANY_JUDGE}"]],
    },
    "intervals": {
        f"{tag}, 95 % interval": ["Margin", [tag, f"{tag}_low", f"{tag}_high"]]
        for tag in ("alignment/text", "alignment/image", "leakage/leaked")
    },
}
"""TensorBoard's page "Custom scalars": a chart a score, in which the runs of all methods overlay."""


class EvaluationCallback(Callback):
    """Turns Lightning's validation and test hooks into `start`, `add` and `finish`; no sanity check."""

    _loaded_step = 0

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
        if not trainer.sanity_checking:
            self.start(trainer, pl_module)

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *batch: Any, **named: Any
    ) -> None:
        if not trainer.sanity_checking:
            self.add(outputs)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.finish(trainer, pl_module)

    on_test_start, on_test_epoch_end = on_validation_start, on_validation_epoch_end
    on_test_batch_end = on_validation_batch_end


def fitting(trainer: Trainer) -> bool:
    """Whether an evaluation belongs to a `fit`."""
    return trainer.state.fn == TrainerFn.FITTING


def writers(trainer: Trainer) -> list[Any]:
    """The TensorBoard writers of this run's loggers; none on ranks other than 0."""
    if not trainer.is_global_zero:
        return []
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
