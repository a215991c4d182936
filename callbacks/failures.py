"""What is said about pictures that could not be made, read or scored."""

from collections.abc import Mapping

from lightning.pytorch import Trainer

from callbacks.first_rank import from_all_ranks

_NAMED = 10


def of_all_ranks(own: Mapping[str, str]) -> dict[str, str]:
    """Name -> why, over all processes; called on every rank."""
    return {name: why for failures in from_all_ranks(dict(own)) for name, why in failures.items()}


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


def listed(failures: Mapping[str, str]) -> str:
    """The first ones with their reasons, a line each, and how many more there are."""
    texts = [f"{name}: {why}" for name, why in list(failures.items())[:_NAMED]]
    more = [f"and {len(failures) - _NAMED} more"] if len(failures) > _NAMED else []
    return "\n  ".join(["", *texts, *more])
