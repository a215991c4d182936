"""What one process does for all, and what all know together."""

from collections.abc import Callable
from typing import TypeVar

import torch
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


def from_all_ranks(own: T) -> list[T]:
    """What each rank has, in their order; small things. Called on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    gathered = [own] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, own)
    return gathered
