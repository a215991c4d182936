"""A progress bar that counts pictures: a batch of 40 is worth 40, and a long batch advances inside."""

import sys
import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_info
from typing_extensions import override

from callbacks.evaluation import fitting
from callbacks.ranks import from_all_ranks

_IN_A_LOG = 30.0  # seconds between two lines
_PICTURES = "{told} pictures, {speed}, {remaining} left"
_STEPS = "{n_fmt}/{total_fmt} steps [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"


class PictureProgress(TQDMProgressBar):
    """A bar in pictures with their speed and the time left, on the error stream; that of training counts steps.

    The loaders tell the `sizes` of their batches. The speed is that of this run: pictures that lay there already are
    not counted. Each process draws a share of its own, and the bar is that of the first. In a log, which is no
    terminal, there is a line now and then.

    Args:
        announce: says, given how many pictures all processes together draw or score, what is about to be done; the
            line stands above the bar.
        leave: whether the bar of pictures stays when it is full.
    """

    def __init__(self, announce: Callable[[int], str] | None = None, leave: bool = True) -> None:
        super().__init__()
        self.announce, self.leave = announce, leave
        self._sizes: list[int] = []
        self._words = ""
        self._pictures: Tqdm | None = None

    def advance(self, pictures: float) -> None:
        """Count what a step of the batch in hand is worth; the whole batch once it is done."""
        if self._pictures is not None:
            self._pictures.update(pictures)

    def _start(self, trainer: Trainer, loader: Any, limits: list[int | float], words: str) -> None:
        """Say what is to be done; called on every rank."""
        self._sizes = loader.sizes[: int(limits[0])]
        pictures = sum(from_all_ranks(sum(self._sizes)))
        if self.announce is not None and not fitting(trainer):
            rank_zero_info(self.announce(pictures))
        self._words = f"{words} (process 1 of {trainer.world_size})" if trainer.world_size > 1 else words

    def _new_bar(self, words: str, told: str, total: int | None = None, is_second: bool = False) -> Tqdm:
        kind, bar = (_Bar, "{percentage:3.0f}%|{bar}| ") if sys.stderr.isatty() else (_Lines, "")
        return kind(
            desc=f"{words}: ",
            total=total,
            bar_format=f"{{desc}}{bar}{told}",
            position=int(is_second),
            leave=self.leave and not is_second,
            disable=self.is_disabled,
            dynamic_ncols=True,
            smoothing=0,
            miniters=0,
            file=sys.stderr,
        )

    def _finish_batch(self, place: int) -> None:
        """Count the whole batch, also what could not be drawn."""
        if self._pictures is not None:
            self._pictures.n = sum(self._sizes[: place + 1])
            self._pictures.refresh()

    def _end(self) -> None:
        if self._pictures is not None:
            self._pictures.close()
            self._pictures = None

    @override
    def init_train_tqdm(self) -> Tqdm:
        return self._new_bar("Training", _STEPS)

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, trainer.predict_dataloaders, trainer.num_predict_batches, "Drawing")

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        limits = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._start(trainer, trainer.val_dataloaders, limits, "Drawing")

    @override
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer, trainer.test_dataloaders, trainer.num_test_batches, "Scoring")

    @override
    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Begin the bar with the first batch: what was loaded before says nothing of the speed."""
        if self._pictures is None and any(self._sizes):
            self._pictures = self._new_bar(self._words, _PICTURES, sum(self._sizes), fitting(trainer))

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start  # type: ignore[assignment]

    @override
    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._finish_batch(batch_idx)

    on_validation_batch_end = on_test_batch_end = on_predict_batch_end  # type: ignore[assignment]

    @override
    def on_predict_end(self, *_: Any) -> None:
        self._end()

    on_test_end = on_predict_end  # type: ignore[assignment]

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end()
        if fitting(trainer) and self._train_progress_bar is not None:
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    @override
    def on_sanity_check_start(self, *_: Any) -> None:
        """Nothing: its pictures have a bar as all have."""

    on_sanity_check_end = on_sanity_check_start

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the bar, so that what is said of the error has a line of its own."""
        self._end()
        if self._train_progress_bar is not None:
            self.train_progress_bar.close()


class _Bar(Tqdm):
    """A bar in a terminal, which knows what it tells of pictures."""

    @property
    @override
    def format_dict(self) -> dict[str, Any]:
        told = super().format_dict
        n, total, seconds = self.n, self.total or 0, told["elapsed"]
        speed = f"{n / seconds:.3g} pictures/s" if n and seconds else "? pictures/s"
        return {**told, "told": f"{min(int(n + 1e-6), total)} of {total}", "speed": speed}


class _Lines(_Bar):
    """The same in a log: a line now and then, and one at the end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._said, self._written = time.time(), -1.0
        super().__init__(*args, **options)

    @override
    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line, if the last one was long ago."""
        if time.time() - self._said >= _IN_A_LOG:
            self._write()

    @override
    def clear(self, *_: Any, **__: Any) -> None:
        """A line stays."""

    @override
    def close(self) -> None:
        """Write the last line, unless it stands there."""
        if not self.disable and self._written != self.n:
            self._write()
        self.disable: bool = True

    def _write(self) -> None:
        self._said, self._written = time.time(), self.n
        self.fp.write(f"{self}\n")
        self.fp.flush()
