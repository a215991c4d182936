import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_modules.objectives import (
    BoundedContrast,
    Objective,
    PublishedObjective,
    bounded_loss,
    noise_weights,
    published_loss,
    squared_error,
)
from tests.float64 import assert_same

pytestmark = pytest.mark.usefixtures("float64")


def predictions(contrast: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    p, d, eps = (torch.randn(3, 4, 2, 5, dtype=torch.float64, generator=generator) for _ in range(3))
    return p, p + contrast * d, eps


def test_squared_error_is_numpys_mean_of_squares_of_each_sample() -> None:
    a, b, _ = predictions()
    expected = np.mean((a.numpy().astype(np.float64) - b.numpy()) ** 2, axis=(1, 2, 3))
    assert_same(squared_error(a, b), expected)


def test_squared_error_of_half_precision_is_summed_in_float32() -> None:
    a = torch.full((1, 4, 64, 64), 8.0, dtype=torch.float16)
    assert squared_error(a, torch.zeros_like(a)).item() == 64.0
    assert squared_error(a, a).dtype != torch.float16


def test_published_loss_is_reconstruction_less_ten_times_contrast() -> None:
    p, pc, eps = predictions()
    losses = PublishedObjective()(p, pc, eps)
    mse = torch.nn.functional.mse_loss
    assert_same(losses.total.mean(), mse(p, eps) - 10 * mse(p, pc))
    assert_same(losses.reconstruction.mean(), mse(p, eps))
    assert_same(losses.contrast.mean(), mse(p, pc))


def test_published_loss_falls_without_bound_and_bounded_contrast_never_below_zero() -> None:
    p, pc, eps = predictions(contrast=1e3)
    assert (PublishedObjective()(p, pc, eps).total < -1e6).all()
    assert_same(BoundedContrast()(p, pc, eps).total, squared_error(p, eps))


def test_bounded_loss_by_hand() -> None:
    eps, p = torch.zeros(2, 1, 1, 2), torch.ones(2, 1, 1, 2)
    pc = torch.tensor([1.5, 3.0]).view(2, 1, 1, 1).expand_as(p)  # contrast .25 and 4, reconstruction 1
    losses = bounded_loss(p, pc, eps, w=10.0, margin=0.5)
    assert_same(losses.total, torch.tensor([1 + 10 * (0.5 - 0.25), 1.0]))
    assert_same(losses.contrast, torch.tensor([0.25, 4.0]))


def test_contrast_has_no_gradient_once_it_reaches_the_margin() -> None:
    eps, p = torch.zeros(2, 1, 1, 2), torch.ones(2, 1, 1, 2, requires_grad=True)
    pc = torch.tensor([1.5, 3.0]).view(2, 1, 1, 1).repeat(1, 1, 1, 2).requires_grad_()
    bounded_loss(p, pc, eps, w=10.0, margin=0.5).total.sum().backward()
    assert pc.grad is not None and p.grad is not None
    # d/dpc of -10 (p - pc)^2 / 2 elements = 10 (p - pc), the published gradient; then none
    assert_same(pc.grad[:, 0, 0], torch.tensor([[-5.0, -5.0], [0.0, 0.0]]))
    assert_same(p.grad[1], torch.ones(1, 1, 2))  # reconstruction alone


def test_below_the_margin_both_objectives_have_the_same_gradient() -> None:
    gradients = []
    for loss in (lambda *x: published_loss(*x, w=10.0), lambda *x: bounded_loss(*x, w=10.0, margin=1.0)):
        p, pc, eps = predictions(contrast=0.1)
        p.requires_grad_(), pc.requires_grad_()
        loss(p, pc, eps).total.sum().backward()
        gradients.append((p.grad, pc.grad))
    assert_same(gradients[0], gradients[1])


def test_reconstruction_error_cannot_be_gained_from_by_moving_the_margin() -> None:
    p, pc, eps = predictions(contrast=0.1)
    eps.requires_grad_()
    bounded_loss(p, pc, eps, w=10.0, margin=1.0).total.sum().backward()
    assert_same(eps.grad, (2 * (eps - p) / eps[0].numel()).detach())


def test_noise_weights_are_those_of_both_papers() -> None:
    snr = torch.tensor([0.01, 0.5, 2.0, 20.0], dtype=torch.float64)
    assert torch.equal(noise_weights(snr, gamma=None, noisy=1.0), torch.ones(4, dtype=torch.float64))
    assert_same(noise_weights(snr, gamma=5.0, noisy=1.0).tolist(), [1.0, 1.0, 1.0, 0.25])
    assert_same(noise_weights(snr, gamma=None, noisy=10.0).tolist(), [10.0, 3.0, 1.5, 1.05])
    assert_same(noise_weights(snr, gamma=5.0, noisy=10.0).tolist(), [10.0, 3.0, 1.5, 1.05 / 4])


def test_noise_weights_of_other_predictions_are_those_of_the_noise_they_imply() -> None:
    snr, gamma = torch.tensor([0.0, 0.01, 0.5, 2.0, 20.0], dtype=torch.float64), 5.0
    clipped = snr.clamp(max=gamma)  # as Hang et al. write them for velocities and for latents
    assert_same(noise_weights(snr, gamma, 1.0, "v_prediction"), clipped / (snr + 1))
    assert_same(noise_weights(snr, gamma, 1.0, "sample")[1:], clipped[1:])
    assert torch.equal(noise_weights(snr, None, 1.0, "v_prediction"), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("margin", [0.0, -1.0, 1.5])
def test_margin_outside_its_range_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=r"`margin` .* above 0 and at most 1, got .* `PublishedObjective`"):
        BoundedContrast(margin=margin)


@pytest.mark.parametrize("objective", [PublishedObjective, BoundedContrast])
def test_negative_weight_is_refused(objective: type[Objective]) -> None:
    with pytest.raises(ValueError, match=r"`weight` .* expected a number >= 0, got -1"):
        objective(weight=-1)  # type: ignore[call-arg]
