"""Chance in training: what a sample draws depends on the seed, the epoch and its index, and on nothing else.

Neither the batch size, the number of processes, the order nor an interruption changes the draws of a sample.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import accumulate
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from lightning_modules.finite import check_numbers


class Draws(NamedTuple):
    """What each sample of a batch draws in one epoch, on the CPU."""

    latent_noise: Tensor  # (batch, channels, height, width), standard normal: which latent of the VAE's posterior
    noise: Tensor  # (batch, channels, height, width), standard normal: eps
    timesteps: Tensor  # (batch,), int64, uniform on 0 .. timesteps - 1
    u: Tensor  # (batch,), float64, always on the CPU, uniform on [0, 1): which conditions are dropped

    def to(self, device: torch.device) -> Self:
        """The same draws on `device`, but for `u`: not every device has float64."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in self._fields if name != "u"}
        return self._replace(**moved)


def draw(seed: int, epoch: int, indices: Sequence[int], latent_shape: Sequence[int], timesteps: int) -> Draws:
    """Draw for the samples `indices` (batch,) with latents of `latent_shape` (channels, height, width)."""
    normal = torch.empty(len(indices), 2, *latent_shape, dtype=torch.float32)
    steps, u = [], []
    for row, index in enumerate(indices):
        generator = np.random.default_rng((seed, epoch, index))
        u.append(generator.random())
        steps.append(int(generator.integers(timesteps)))
        generator.standard_normal(dtype=np.float32, out=normal[row].numpy())
    return Draws(normal[:, 0], normal[:, 1], torch.tensor(steps), torch.tensor(u, dtype=torch.float64))


def patch_orders(seed: int, epoch: int, indices: Sequence[int], patches: Sequence[int]) -> list[Tensor]:
    """An order of its own of each sample's patches: `(batch, n)`, int64, for each number n of `patches`."""
    # The 1 keeps these draws apart from those of `draw`.
    generators = [np.random.default_rng((seed, epoch, index, 1)) for index in indices]
    return [torch.from_numpy(np.stack([each.permutation(count) for each in generators])) for count in patches]


class Dropped(NamedTuple):
    """Which conditions of each sample are dropped, all (batch,) bool, True = dropped."""

    image: Tensor
    content: Tensor
    content_map: Tensor


_EVENTS = {
    "image": {"image"},
    "content": {"content"},
    "both": {"image", "content"},
    "content_map": {"content_map"},
    "everything": {"image", "content", "content_map"},
}


@dataclass(frozen=True)
class DropRates:
    """How often training drops the image, the content word, or both at once: exclusive events, at most 1 in sum."""

    image: float = 0.05
    content: float = 0.05
    both: float = 0.05

    def __post_init__(self) -> None:
        rates = astuple(self)
        check_numbers(drop=rates)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError(
                "`drop` holds the rates of exclusive events: expected numbers >= 0 that sum to at most 1, got "
                f"{', '.join(f'{field.name}={rate}' for field, rate in zip(fields(self), rates, strict=True))}. "
                "The published ones are in docs/published.md."
            )

    def __call__(self, u: Tensor) -> Dropped:
        """Decide by one uniform draw of each sample, `u` (batch,) in [0, 1)."""
        ends = torch.tensor(list(accumulate(astuple(self))), dtype=u.dtype, device=u.device)
        event = torch.bucketize(u, ends, right=True)
        dropped = [_EVENTS[field.name] for field in fields(self)] + [set()]
        table = torch.tensor([[part in parts for part in Dropped._fields] for parts in dropped], device=u.device)
        return Dropped(*table[event].unbind(-1))


@dataclass(frozen=True)
class FusionDropRates(DropRates):
    """The same with the lines of StyleShot's second stage, which are dropped alone or with image and caption.

    As published by default: the style is dropped in 25 %, the lines in 25 %, the caption in 5 %, where both are.
    """

    image: float = 0.2
    content: float = 0.0
    both: float = 0.0
    content_map: float = 0.2
    everything: float = 0.05
