"""Lets a run that a signal stops end where it can go on from: a fit with a checkpoint of its present step."""

from pathlib import Path
from signal import SIGTERM
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from typing_extensions import override

from callbacks.evaluation import fitting
from scripts.stopping import STOP

_GOES_ON = "`--ckpt_path last` with the same arguments goes on from there."


class StopOnSignal(Callback):
    """Ends a run after a signal, which it takes back from Lightning: that ends with 0, and its ranks may wait for ever.

    A fit ends behind its step, on all ranks together, or in its evaluation, which is made again when the fit goes on;
    `last.ckpt` has that step. All other runs end at once.
    """

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Pass signals on to the processes that Lightning started."""
        STOP.children = getattr(trainer.strategy.launcher, "procs", [])

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals."""
        STOP.take()

    @override
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals."""
        STOP.take()

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; from now on a step is finished first."""
        STOP.take()
        STOP.deferred = True

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and end if any rank was stopped, and no gradient is being accumulated."""
        if not STOP.process or not trainer.strategy.reduce_boolean_decision(bool(STOP.number), all=False):
            return
        STOP.number = STOP.number or SIGTERM
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        assert fetcher is not None
        # Where an evaluation is due, it ends the run: Lightning goes on behind it from a checkpoint of this place.
        if not loop._should_accumulate() and not loop._should_check_val_fx(fetcher):
            self._save(trainer)
            STOP.raise_if_asked()

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; an evaluation ends at once."""
        STOP.take()
        STOP.deferred = False
        STOP.raise_if_asked()

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a step is finished first, and what is written of the evaluation."""
        STOP.deferred = fitting(trainer)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All is saved."""
        STOP.deferred, STOP.way_on = False, "All steps were done and are saved."

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save where the run ended within an evaluation of a fit, so that this is made again."""
        STOP.deferred = False
        if STOP.number and fitting(trainer) and trainer.validating:
            progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
            progress.reset()
            progress.increment_ready()
            progress.increment_started()  # which is how Lightning knows an evaluation that has begun
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        """Write `last.ckpt` on the first rank; the others may be elsewhere, so that nobody waits for them."""
        keeper = trainer.checkpoint_callback
        if not isinstance(keeper, ModelCheckpoint) or keeper.dirpath is None:
            STOP.way_on = "No checkpoint was written, for there is no `checkpoint` callback."
            return
        path = Path(keeper.dirpath) / f"{keeper.CHECKPOINT_NAME_LAST}{keeper.FILE_EXTENSION}"
        # The evaluation of the very last step, made again, writes no checkpoint.
        is_last = trainer.validating and trainer.global_step == trainer.max_steps
        named = [keeper.format_checkpoint_name(keeper._monitor_candidates(trainer))] if is_last else []
        keeper.last_model_path = str(path)  # or the next one would be `last-v1.ckpt`
        content = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        for each in (str(path), *named):
            trainer.strategy.save_checkpoint(content, each)
        STOP.way_on = f"`{path}` has step {trainer.global_step}: {_GOES_ON}"
