import numpy as np
import pytest
import torch

from lightning_modules.draws import Draws, DropRates, FusionDropRates, draw, patch_orders

SHAPE = (4, 2, 3)


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
    torch.testing.assert_close(correlation, torch.eye(4), atol=0.06, rtol=0)
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


@pytest.mark.parametrize("rates", [(-0.1, 0.0, 0.0), (0.5, 0.4, 0.2)])
def test_rates_that_are_no_distribution_are_refused(rates: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"`drop` .* sum to at most 1, got image=.*, both=.*published.md"):
        DropRates(*rates)
