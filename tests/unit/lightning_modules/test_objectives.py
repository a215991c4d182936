import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_modules.objectives import (
    BoundedContrast,
    Draws,
    DropRates,
    FusionDropRates,
    PublishedObjective,
    draw,
    noise_weights,
    patch_orders,
    squared_error,
)
from tests.float64 import assert_same

pytestmark = pytest.mark.usefixtures("float64")
SHAPE = (4, 2, 3)


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
    losses = BoundedContrast(margin=0.5)(p, pc, eps)
    assert_same(losses.total, torch.tensor([1 + 10 * (0.5 - 0.25), 1.0]))
    assert_same(losses.contrast, torch.tensor([0.25, 4.0]))


def test_contrast_has_no_gradient_once_it_reaches_the_margin() -> None:
    eps, p = torch.zeros(2, 1, 1, 2), torch.ones(2, 1, 1, 2, requires_grad=True)
    pc = torch.tensor([1.5, 3.0]).view(2, 1, 1, 1).repeat(1, 1, 1, 2).requires_grad_()
    BoundedContrast(margin=0.5)(p, pc, eps).total.sum().backward()
    assert pc.grad is not None and p.grad is not None
    # d/dpc of -10 (p - pc)^2 / 2 elements = 10 (p - pc), the published gradient; then none
    assert_same(pc.grad[:, 0, 0], torch.tensor([[-5.0, -5.0], [0.0, 0.0]]))
    assert_same(p.grad[1], torch.ones(1, 1, 2))  # reconstruction alone


def test_below_the_margin_both_objectives_have_the_same_gradient() -> None:
    gradients = []
    for loss in (PublishedObjective(), BoundedContrast(margin=1.0)):
        p, pc, eps = predictions(contrast=0.1)
        p.requires_grad_(), pc.requires_grad_()
        loss(p, pc, eps).total.sum().backward()
        gradients.append((p.grad, pc.grad))
    assert_same(gradients[0], gradients[1])


def test_reconstruction_error_cannot_be_gained_from_by_moving_the_margin() -> None:
    p, pc, eps = predictions(contrast=0.1)
    eps.requires_grad_()
    BoundedContrast(margin=1.0)(p, pc, eps).total.sum().backward()
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


def test_draws_of_a_sample_do_not_depend_on_its_batch() -> None:
    batch = draw(7, 3, [5, 0, 2], SHAPE, 1000)
    alone = [draw(7, 3, [index], SHAPE, 1000) for index in (5, 0, 2)]
    for part, parts in zip(batch, zip(*alone, strict=True), strict=True):
        assert torch.equal(part, torch.cat(parts))


@pytest.mark.parametrize("other", [(8, 3, 5), (7, 4, 5), (7, 3, 6), (3, 7, 5)])
def test_draws_differ_between_seeds_epochs_and_samples(other: tuple[int, int, int]) -> None:
    first, second = draw(7, 3, [5], SHAPE, 1000), draw(other[0], other[1], [other[2]], SHAPE, 1000)
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_draws_are_numpys_own() -> None:
    generator = np.random.default_rng((7, 3, 5))
    u, step = generator.random(), generator.integers(1000)
    noise = generator.standard_normal((2, *SHAPE), dtype=np.float32)
    draws = draw(7, 3, [5], SHAPE, 1000)
    assert (draws.u.item(), draws.timesteps.item()) == (u, step)
    np.testing.assert_array_equal(torch.stack([draws.latent_noise[0], draws.noise[0]]), noise)


def test_draws_have_their_distributions() -> None:
    draws = draw(0, 0, range(4000), (2,), 10)
    assert torch.bincount(draws.timesteps).tolist() == pytest.approx([400] * 10, abs=80)
    for noise in (draws.latent_noise, draws.noise):
        assert noise.mean().item() == pytest.approx(0, abs=0.04)
        assert noise.std().item() == pytest.approx(1, abs=0.04)
    correlation = torch.corrcoef(torch.cat([draws.latent_noise, draws.noise], 1).T)
    torch.testing.assert_close(correlation, torch.eye(4, dtype=torch.float32), atol=0.06, rtol=0)
    assert draws.u.mean().item() == pytest.approx(0.5, abs=0.02)


def test_draws_move_to_a_device() -> None:
    draws = draw(0, 0, [0], SHAPE, 10).to(torch.device("meta"))
    assert isinstance(draws, Draws) and [part.device.type for part in draws] == ["meta", "meta", "meta", "cpu"]
    assert [part.dtype for part in draws if part.device.type == "meta"].count(torch.float64) == 0, "Apple's has none"


def test_one_draw_drops_the_image_then_the_word_then_both() -> None:
    u = torch.tensor([0.0, 0.049, 0.05, 0.099, 0.101, 0.149, 0.151, 0.99], dtype=torch.float64)
    dropped = DropRates()(u)
    assert dropped.image.tolist() == [True, True, False, False, True, True, False, False]
    assert dropped.content.tolist() == [False, False, True, True, True, True, False, False]


def test_rates_of_zero_drop_nothing() -> None:
    dropped = DropRates(0, 0, 0)(torch.linspace(0, 1, 11))
    assert not dropped.image.any() and not dropped.content.any()


def test_published_rates_of_styleshot() -> None:
    u = torch.tensor([0.0, 0.19, 0.21, 0.39, 0.41, 0.449, 0.451, 0.99], dtype=torch.float64)
    dropped = FusionDropRates()(u)
    assert dropped.image.tolist() == [True, True, False, False, True, True, False, False]
    assert dropped.content_map.tolist() == [False, False, True, True, True, True, False, False]
    assert dropped.content.tolist() == [False, False, False, False, True, True, False, False]
    first = DropRates(image=0.25, content=0.0, both=0.05)(torch.arange(0.005, 1, 0.01))
    assert [part.float().mean().item() for part in first] == pytest.approx([0.3, 0.05, 0.0])
    assert not (first.content & ~first.image).any()


def test_orders_of_patches_belong_to_the_sample() -> None:
    high, low = patch_orders(7, 3, [5, 0], (8, 32))
    assert high.shape == (2, 8) and all(sorted(row) == list(range(32)) for row in low.tolist())
    assert torch.equal(patch_orders(7, 3, [0], (8, 32))[1], low[1:])
    others = [patch_orders(*other, (8, 32))[1] for other in ((8, 3, [0]), (7, 4, [0]), (7, 3, [5]))]
    assert not any(torch.equal(other, low[1:]) for other in others)
