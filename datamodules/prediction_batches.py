"""What `Predictions` hands on: generated pictures that are to be scored, each with its style reference."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

from PIL import Image

from datamodules.references import NAMES_IN_WARNING, ImageSource
from datamodules.vocabulary import content_prompt


class Prediction(NamedTuple):
    """One generated picture, named but not opened."""

    path: str
    method: str
    """Short name of the method; the name of the table, without suffix, where that does not say."""
    reference_key: str
    """`Reference.key` of the style reference; in a table the path as written, without suffix."""
    reference_path: str
    """Where the image of the reference lies: its name in `PredictionBatch["references"]`."""
    content: str
    """What the reference shows: "frog"."""
    style: str
    """The style of the reference; "" where a table does not say."""
    prompt: str
    sample: int
    """Number of the picture among those of the same method, reference, prompt and content image."""
    seed: int | None
    """Seed of the initial noise; None where a table does not say."""
    share_masked: float | None
    """Share of the feature's elements that were set to zero; None for methods without a mask, and in tables."""
    settings: dict[str, Any]
    """What decided the picture, as its method wrote it; empty in tables."""
    content_image: str | None = None
    """`Reference.key` of the image whose layout the picture keeps; None is text-driven."""
    content_image_path: str | None = None
    """Where that image lies; None also where it is in none of the `references`, for no score asks for it."""

    @property
    def content_prompt(self) -> str:
        """The prompt that asks for the content of the reference alone: "A frog"."""
        return content_prompt(self.content)


class PredictionBatch(TypedDict):
    """Pictures with their references, all RGB and each in its own size."""

    predictions: list[Prediction]
    images: list[Image.Image]
    """The picture of each prediction."""
    references: dict[str, Image.Image]
    """`Prediction.reference_path` -> its image; each is opened once a batch."""


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
