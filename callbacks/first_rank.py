"""What one process does for all."""

from collections.abc import Callable
from typing import TypeVar

from lightning.pytorch import Trainer

T = TypeVar("T")


def on_first_rank(trainer: Trainer, act: Callable[[], T]) -> T:
    """Rank 0 acts; its result, or its error, is that of all ranks: none waits for ever. Called on every rank."""
    result: T | None = None
    error: Exception | None = None
    if trainer.is_global_zero:
        try:
            result = act()
        except Exception as caught:  # whatever it is, the others must hear of it
            error = caught
    result, error = trainer.strategy.broadcast((result, error))
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
