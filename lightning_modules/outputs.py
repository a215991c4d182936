"""What leaves a step, for callbacks to read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.batches import Job, Prediction

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
MOST_MASKED = 0.5
"""A mask that drops a larger share of the image feature leaves little of the reference."""
NOT_FINITE = "its pixels are not finite: a scale or strength may be too large, or the precision too low"


class Found(NamedTuple):
    """The content word that was found for a reference."""

    word: str
    margin: float
    """Its cosine with the image feature less that of the second best word, at least 0."""
    second: str
    is_unsure: bool
    """Whether the margin is too small to rely on the word."""


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
    contents: list[str] = field(default_factory=list)
    """The prompts of all contents that references show, which may leak into a picture; empty if unknown."""
    finished: int = 0
    """Pictures of the run that lay there already: told with the first batch of rank 0, else 0."""
    found: dict[str, Found] = field(default_factory=dict)
    """The words that were found, by `Reference.key`; the references of the jobs carry them."""

    @property
    def shares(self) -> list[float | None]:
        """Share masked of each picture; None for methods without a mask."""
        return [None] * len(self.jobs) if self.share_masked is None else self.share_masked.tolist()

    @property
    def mostly_masked(self) -> list[bool]:
        """Whether more than half of the feature that a picture was drawn from is masked, of each picture."""
        return [(share or 0) > MOST_MASKED for share in self.shares]

    @classmethod
    def nothing(cls) -> Self:
        """No picture of no job."""
        return cls(torch.empty(0, 3, 1, 1), [], [])

    def without_spoilt(self) -> Self:
        """The same with pictures that are not finite among the failures."""
        drawn = self.images.isfinite().flatten(1).all(1).cpu()
        if drawn.all():
            return self
        share, mask = self.share_masked, self.keep_mask
        return replace(
            self,
            images=self.images[drawn.to(self.images.device)],
            jobs=list(compress(self.jobs, drawn)),
            references=list(compress(self.references, drawn)),
            share_masked=None if share is None else share[drawn.to(share.device)],
            keep_mask=None if mask is None else mask[drawn.to(mask.device)],
            failures={**self.failures, **dict.fromkeys(compress(self.jobs, ~drawn), NOT_FINITE)},
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
    positions: list[int] = field(default_factory=list)
    """Place of each picture among all that are scored."""
    unread: list[Prediction] = field(default_factory=list)
    """Those of the batch that could not be opened."""
    failures: dict[str, str] = field(default_factory=dict)
    """Path of each picture that belongs here and could not be read -> why."""
    contents: list[str] = field(default_factory=list)
    """The prompts of all contents that references show, which may have leaked into a picture."""
    sources: list[str] = field(default_factory=list)
    """Where all pictures come from: folders, or a table."""


def to_pil(images: Tensor) -> list[Image.Image]:
    """8-bit RGB pictures of `images` (batch, 3, height, width) in [0, 1]; values are clamped and rounded."""
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(
            "`images` must have shape (batch, 3, height, width) with values in [0, 1], got "
            f"{tuple(images.shape)}: move the colour channels to the second place."
        )
    pixels = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return [Image.fromarray(np.ascontiguousarray(p)) for p in pixels.permute(0, 2, 3, 1).cpu().numpy()]


def joined(parts: Sequence[Generations]) -> Generations:
    """Several batches as one, in their order."""
    first = parts[0]
    shares, masks = [part.share_masked for part in parts], [part.keep_mask for part in parts]
    return Generations(
        images=torch.cat([part.images for part in parts]),
        jobs=[job for part in parts for job in part.jobs],
        references=[image for part in parts for image in part.references],
        share_masked=None if first.share_masked is None else torch.cat(shares),  # type: ignore[arg-type]
        keep_mask=None if first.keep_mask is None else torch.cat(masks),  # type: ignore[arg-type]
    )


class GenerationModule(Protocol):
    """What callbacks may ask of a module that generates."""

    @property
    def name(self) -> str:
        """Short name of the method, used in the names of files and runs."""

    @property
    def settings(self) -> dict[str, JSON]:
        """All that decides a picture besides its job."""
