"""A run's folder, which no other run writes into meanwhile."""

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from callbacks.ranks import on_first_rank
from datamodules.files import FolderLock


class OwnFolder(Callback):
    """Takes a folder before the run's first work, on rank 0 for all ranks, until `release`.

    Args:
        folder: what the run writes into.
        argument: that named it, for the message.
        check: raises an error where this run must not write into the folder; called once it is taken.
    """

    def __init__(self, folder: str | Path, argument: str, check: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._lock, self._check = FolderLock(Path(folder), argument), check

    def take_before(self, trainer: Trainer) -> None:
        """Take the folder before anything is read or written, where this process starts those of the other ranks."""
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if trainer.is_global_zero and not (environment and environment.creates_processes_externally):
            self._take()

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the folder; of another run in it every rank hears at once."""
        on_first_rank(trainer, self._take)

    def release(self) -> None:
        """Let others write into the folder."""
        self._lock.release()

    def _take(self) -> None:
        self._lock.take()
        if self._check is not None:
            self._check()
            self._check = None
