"""What leaves a step, for callbacks to read."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypedDict

from PIL import Image
from torch import Tensor

from datamodules.batches import Job

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


@dataclass
class Generations:
    """Generated pictures, returned by the validation, test and predict steps."""

    images: Tensor
    """(batch, 3, height, width), float32 in 0 .. 1."""
    jobs: list[Job]
    """What each picture was made for."""
    references: list[Image.Image]
    """Reference image of each picture, RGB, each in its own size."""
    share_masked: Tensor | None = None
    """(batch,), share of the feature's elements that were set to zero; None for methods without a mask."""
    keep_mask: Tensor | None = None
    """(batch, dim) or (batch, levels, dim), bool, True = kept; None for methods without a mask."""


class Reconstruction(TypedDict):
    """Losses of one batch, 0-dim tensors, returned by the training step."""

    loss: Tensor
    reconstruction: Tensor
    contrast: Tensor


class GenerationModule(Protocol):
    """What callbacks may ask of a module that generates."""

    @property
    def name(self) -> str:
        """Short name of the method, used in the names of files and runs."""

    @property
    def settings(self) -> dict[str, JSON]:
        """All that decides a picture besides its job."""
