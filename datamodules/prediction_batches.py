"""What `Predictions` finds: generated pictures that are to be scored, and where their references lie."""

from collections.abc import Sequence
from typing import NamedTuple

from datamodules.batches import Prediction
from datamodules.references import NAMES_IN_WARNING, ImageSource


class Found(NamedTuple):
    """Pictures that were found, those that cannot be scored, and where the references lie."""

    predictions: list[Prediction]
    failures: dict[str, str]
    """Path of a picture -> why it cannot be scored."""
    references: dict[str, ImageSource]
    """`Prediction.reference_path` -> the encoded image."""


def listed(texts: Sequence[str]) -> str:
    """The first texts, one a line, and how many more there are."""
    more = [f"and {len(texts) - NAMES_IN_WARNING} more"] if len(texts) > NAMES_IN_WARNING else []
    return "\n  ".join([*texts[:NAMES_IN_WARNING], *more])
