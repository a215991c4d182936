"""What a training step draws, drops and is asked for.

What a sample draws depends on the seed, the epoch and its index, and on nothing else: neither the batch size, the
number of processes, the order nor an interruption changes it.

Symbols of Zhu et al. (ICLR 2025, arXiv 2502.07466): eps the noise that was added, p the noise predicted under the
quality prompt, pc the noise predicted under the content word, both with the image feature less its content, w the
weight of the contrast. Each is (batch, channels, height, width), in units of the noise, whose variance is 1. Where the
base predicts velocities or latents, all three are those: for a given input they are linear in the noise, so that the
errors and the contrast of a sample grow by the same factor.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import accumulate
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

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


class Losses(NamedTuple):
    """The loss of each sample and its two parts, all (batch,) float32; the parts are squared errors, >= 0."""

    total: Tensor
    reconstruction: Tensor
    contrast: Tensor


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each sample, (batch, ...) and (batch, ...) -> (batch,), summed in float32."""
    return (a.float() - b.float()).square().flatten(1).mean(dim=1)


def noise_weights(snr: Tensor, gamma: float | None, noisy: float, predicts: str = "epsilon") -> Tensor:
    """Weights min(gamma / SNR, 1) min(1 + 1 / SNR, noisy) of errors `(batch,)` by their SNR alpha / (1 - alpha).

    The first factor is min-SNR weighting (Hang et al., arXiv 2303.09556), which leaves less to clear inputs and is
    left out where `gamma` is None; that of a velocity or of latents (`predicts`, by diffusers' names) is that of the
    noise they imply. The second, that of velocity prediction up to a bound, gives more to noisy inputs, where a
    picture takes its shape.
    """
    weights = (1 + 1 / snr).clamp(max=noisy)
    in_noise = {"epsilon": torch.ones_like(snr), "v_prediction": snr / (1 + snr), "sample": snr}[predicts]
    return weights if gamma is None else weights * (gamma / snr).clamp(max=1) * in_noise


class Objective(ABC):
    """A loss of the two predictions; subclasses are chosen by `class_path`.

    Args:
        weight: w, the weight of the contrast, >= 0.
    """

    def __init__(self, weight: float = 10.0) -> None:
        check_numbers(weight=weight)
        if weight < 0:
            raise ValueError(
                f"`weight` scales the contrast: expected a number >= 0, got {weight}. "
                f"Both objectives already give the contrast its sign; 10 is the paper's."
            )
        self.weight = weight

    def __call__(self, p: Tensor, pc: Tensor, eps: Tensor) -> Losses:
        """Score p and pc against eps, each (batch, channels, height, width)."""
        reconstruction, contrast = squared_error(p, eps), squared_error(p, pc)
        return Losses(self.total(reconstruction, contrast), reconstruction, contrast)

    @abstractmethod
    def total(self, reconstruction: Tensor, contrast: Tensor) -> Tensor:
        """The loss of each sample, all (batch,)."""


class PublishedObjective(Objective):
    """L = mse(p, eps) - w mse(p, pc), the loss of the paper's code, unbounded below: kept to reproduce its curves."""

    @override
    def total(self, reconstruction: Tensor, contrast: Tensor) -> Tensor:
        return reconstruction - self.weight * contrast


class BoundedContrast(Objective):
    """The paper's contrast, asked for only as far as it can mean content, sample by sample.

    L = mse(p, eps) + w max(0, margin [mse(p, eps)] - mse(p, pc)), [.] a constant to the gradient; never below 0.

    The two predictions differ by the content word alone. For ideal denoisers the law of total variance splits the
    error without the word into the error with it and what the word explains:
    E mse(p, eps) = E mse(pc, eps) + E mse(p, pc). So mse(p, pc) / mse(p, eps), the share of the remaining error that
    the word explains, lies in 0..1 whatever the backbone, the latents and the noise level; a larger contrast is
    damage. `margin` is the share that is asked for. The published loss asks for more without end.

    Args:
        weight: w, the weight of the contrast, >= 0.
        margin: share of the reconstruction error at which the contrast stops being trained, above 0, at most 1.
    """

    def __init__(self, weight: float = 10.0, margin: float = 0.03) -> None:
        if not 0 < margin <= 1:
            raise ValueError(
                f"`margin` is the share of the reconstruction error that the content word may explain: expected a "
                f"number above 0 and at most 1, got {margin}. Use the default of 0.03, or `PublishedObjective` for a "
                f"contrast without bound."
            )
        super().__init__(weight)
        self.margin = margin

    @override
    def total(self, reconstruction: Tensor, contrast: Tensor) -> Tensor:
        shortfall = (self.margin * reconstruction.detach() - contrast).relu()
        return reconstruction + self.weight * shortfall
