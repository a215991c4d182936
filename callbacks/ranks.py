"""What one process does for all, what all know together, and what is said about pictures that failed."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.reading import listed as named

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


def listed(failures: Mapping[str, str]) -> str:
    """The first failures with their reasons, a line each, and how many more there are."""
    return "\n  " + named([f"{name}: {why}" for name, why in failures.items()], most=10)


def report(failures: Mapping[str, str], scored: int, none: str, some: str, end: str = "") -> None:
    """Says which pictures have no scores.

    Raises:
        ValueError: none of them has.
    """
    count = scored + len(failures)
    if failures and not scored:
        raise ValueError(f"None of the {count} pictures {none}:{listed(failures)}{end}")
    if failures:
        rank_zero_warn(f"{len(failures)} of {count} pictures {some}:{listed(failures)}")


def refuse(trainer: Trainer, failures: Mapping[str, str]) -> None:
    """Ends a command that has done what it could, after its words on each failure; on one rank, which speaks for all.

    Raises:
        RuntimeError: there are failures.
    """
    if failures and trainer.is_global_zero:
        raise RuntimeError(
            f"{len(failures)} pictures could not be made, as said above. All others are there; the same command tries "
            "these again."
        )
