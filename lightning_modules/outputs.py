"""What leaves a step, for callbacks to read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeAlias, TypedDict

import torch
from PIL import Image
from torch import Tensor

from datamodules.batches import Job, Prediction

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
NOT_FINITE = "its pixels are not finite: a scale or strength may be too large, or the precision too low"


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
    failures: dict[Job, str] = field(default_factory=dict)
    """Each job that made no picture -> why; it is in none of the lists."""

    @classmethod
    def nothing(cls) -> Self:
        """No picture of no job."""
        return cls(torch.empty(0, 3, 1, 1), [], [])

    def without_spoilt(self) -> Self:
        """The same with pictures that are not finite among the failures."""
        drawn = self.images.isfinite().flatten(1).all(1)
        if drawn.all():
            return self
        kept = drawn.nonzero().flatten().tolist()
        spoilt = [job for job, is_drawn in zip(self.jobs, drawn.tolist(), strict=True) if not is_drawn]
        return type(self)(
            self.images[drawn],
            [self.jobs[place] for place in kept],
            [self.references[place] for place in kept],
            None if self.share_masked is None else self.share_masked[drawn.to(self.share_masked.device)],
            None if self.keep_mask is None else self.keep_mask[drawn.to(self.keep_mask.device)],
            {**self.failures, **dict.fromkeys(spoilt, NOT_FINITE)},
        )


@dataclass
class Predicted:
    """Pictures that were generated before, returned by the test step of `Scoring`; lists of one length."""

    images: list[Image.Image]
    """RGB, each in its own size."""
    predictions: list[Prediction]
    """What is known of each picture."""
    references: list[Image.Image]
    """Reference image of each picture, RGB, each in its own size."""
    failures: dict[str, str] = field(default_factory=dict)
    """Path of each picture that belongs here and could not be read -> why."""


def joined(parts: Sequence[Generations]) -> Generations:
    """Several batches as one, in their order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    shares, masks = [part.share_masked for part in parts], [part.keep_mask for part in parts]
    return Generations(
        images=torch.cat([part.images for part in parts]),
        jobs=[job for part in parts for job in part.jobs],
        references=[image for part in parts for image in part.references],
        share_masked=None if first.share_masked is None else torch.cat(shares),  # type: ignore[arg-type]
        keep_mask=None if first.keep_mask is None else torch.cat(masks),  # type: ignore[arg-type]
    )


class ReconstructionLosses(TypedDict):
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
