"""Chance in training: what a sample draws depends on the seed, the epoch and its index, and on nothing else.

Neither the batch size, the number of processes, the order nor an interruption changes the draws of a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    normal = torch.empty(len(indices), 2, *latent_shape)
    steps, u = [], []
    for row, index in enumerate(indices):
        generator = np.random.default_rng((seed, epoch, index))
        u.append(generator.random())
        steps.append(int(generator.integers(timesteps)))
        generator.standard_normal(dtype=np.float32, out=normal[row].numpy())
    return Draws(normal[:, 0], normal[:, 1], torch.tensor(steps), torch.tensor(u, dtype=torch.float64))


class Dropped(NamedTuple):
    """Which conditions of each sample are dropped, both (batch,) bool, True = dropped."""

    image: Tensor
    content: Tensor


@dataclass(frozen=True)
class DropRates:
    """How often training drops the image, the content word, or both at once: three rates that sum to at most 1."""

    image: float = 0.05
    content: float = 0.05
    both: float = 0.05

    def __post_init__(self) -> None:
        rates = (self.image, self.content, self.both)
        check_numbers(drop=rates)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError(
                f"`drop` holds the rates of three exclusive events: expected numbers >= 0 that sum to at most 1, got "
                f"image={self.image}, content={self.content}, both={self.both}. The paper's are 0.05 each."
            )

    def __call__(self, u: Tensor) -> Dropped:
        """Decide by one uniform draw of each sample, `u` (batch,) in [0, 1)."""
        image_only = u < self.image
        content_or_both = (u >= self.image) & (u < self.image + self.content + self.both)
        both = content_or_both & (u >= self.image + self.content)
        return Dropped(image_only | both, content_or_both)
