"""What the two adapters are trained for: reconstruct the noise, and need the content word to do it.

Symbols of Zhu et al. (ICLR 2025, arXiv 2502.07466): eps the noise that was added, p the noise predicted under the
quality prompt, pc the noise predicted under the content word, both with the image feature less its content, w the
weight of the contrast. Each is (batch, channels, height, width), in units of the noise, whose variance is 1. Where the
base predicts velocities or latents, all three are those: for a given input they are linear in the noise, so that the
errors and the contrast of a sample grow by the same factor.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.finite import check_numbers


class Losses(NamedTuple):
    """The loss of each sample and its two parts, all (batch,) float32; the parts are squared errors, >= 0."""

    total: Tensor
    reconstruction: Tensor
    contrast: Tensor


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each sample, (batch, ...) and (batch, ...) -> (batch,), summed in float32."""
    return (a.float() - b.float()).square().flatten(1).mean(dim=1)


def noise_weights(snr: Tensor, gamma: float | None, noisy: float, predicts: str = "epsilon") -> Tensor:
    """Weight of each sample's error by its noise level: min(gamma / SNR, 1) min(1 + 1 / SNR, noisy).

    The first factor is min-SNR weighting (Hang et al., arXiv 2303.09556), which leaves less to clear inputs; the
    second, that of velocity prediction up to a bound, gives more to noisy ones, where a picture takes its shape.

    Args:
        snr: signal-to-noise ratios alpha / (1 - alpha) `(batch,)`, alpha the cumulative one.
        gamma: above 0; None leaves the first factor out.
        noisy: 1 leaves the second factor out.
        predicts: what the error is one of, as diffusers names it: min-SNR weighting is that of the noise it implies.
    """
    weights = (1 + 1 / snr).clamp(max=noisy)
    in_noise = {"epsilon": torch.ones_like(snr), "v_prediction": snr / (1 + snr), "sample": snr}[predicts]
    return weights if gamma is None else weights * (gamma / snr).clamp(max=1) * in_noise


def published_loss(p: Tensor, pc: Tensor, eps: Tensor, w: float) -> Losses:
    """L = mse(p, eps) - w mse(p, pc): what the paper's adapters were trained with. It has no lower bound."""
    reconstruction, contrast = squared_error(p, eps), squared_error(p, pc)
    return Losses(reconstruction - w * contrast, reconstruction, contrast)


def bounded_loss(p: Tensor, pc: Tensor, eps: Tensor, w: float, margin: float) -> Losses:
    """L = mse(p, eps) + w max(0, margin [mse(p, eps)] - mse(p, pc)), [.] a constant to the gradient; never below 0.

    A sample whose contrast has reached `margin` times its reconstruction error is trained by reconstruction alone.
    """
    reconstruction, contrast = squared_error(p, eps), squared_error(p, pc)
    shortfall = (margin * reconstruction.detach() - contrast).relu()
    return Losses(reconstruction + w * shortfall, reconstruction, contrast)


class Objective:
    """A loss of the two predictions; subclasses are chosen by `class_path`."""

    def __call__(self, p: Tensor, pc: Tensor, eps: Tensor) -> Losses:
        """Score p and pc against eps, each (batch, channels, height, width)."""
        raise NotImplementedError


class PublishedObjective(Objective):
    """The loss of the paper's code, unbounded below: kept to reproduce its curves.

    Args:
        weight: w, the weight of the contrast, >= 0.
    """

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = _checked_weight(weight)

    def __call__(self, p: Tensor, pc: Tensor, eps: Tensor) -> Losses:
        """`published_loss` of p, pc and eps."""
        return published_loss(p, pc, eps, self.weight)


class BoundedContrast(Objective):
    """The paper's contrast, asked for only as far as it can mean content, sample by sample.

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
        self.weight = _checked_weight(weight)
        self.margin = margin

    def __call__(self, p: Tensor, pc: Tensor, eps: Tensor) -> Losses:
        """`bounded_loss` of p, pc and eps."""
        return bounded_loss(p, pc, eps, self.weight, self.margin)


def _checked_weight(weight: float) -> float:
    check_numbers(weight=weight)
    if weight < 0:
        raise ValueError(
            f"`weight` scales the contrast: expected a number >= 0, got {weight}. "
            f"Both objectives already give the contrast its sign; 10 is the paper's."
        )
    return weight
