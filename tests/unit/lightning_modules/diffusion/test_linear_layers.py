"""Linear layers as convolutions: the same numbers, for as long as they are asked for."""

from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

from lightning_modules.diffusion.constant_keys import constant_keys
from lightning_modules.diffusion.linear_layers import linear_as_convolution
from lightning_modules.diffusion.replaced import replaced_forward
from lightning_modules.diffusion.sampling import _fast
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.unit.lightning_modules.diffusion.stock import Pair


class Own(nn.Linear):
    """A subclass, which may compute something else."""


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (1, 1, 1, 24)])
def test_the_same_numbers_in_the_same_shape(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(24, 40, bias=bias))
    x = torch.randn(shape)
    with torch.no_grad(), linear_as_convolution(network):
        ours = network(x)
    expected = network.double()(x.double())
    assert ours.shape == expected.shape and ours.is_contiguous()
    torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_a_view_that_is_not_contiguous() -> None:
    network, x = nn.Sequential(nn.Linear(6, 3)), torch.randn(6, 4, 5).permute(2, 1, 0)
    expected = network(x)
    with linear_as_convolution(network):
        torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=1e-6)


def test_other_precisions_and_subclasses_are_left_as_they_are() -> None:
    layers = [nn.Linear(2, 2).half(), Own(2, 2), nn.Linear(2, 2)]
    with linear_as_convolution(nn.ModuleList(layers)):
        assert ["forward" in vars(layer) for layer in layers] == [False, False, True]
    assert not any("forward" in vars(layer) for layer in layers)


def test_replacements_nest_and_end_with_what_was_there() -> None:
    layer = nn.Linear(2, 2)
    with replaced_forward({layer: lambda x: x + 1}):
        with replaced_forward({layer: lambda x: x + 2}):
            assert layer(torch.zeros(1)) == 2
        assert layer(torch.zeros(1)) == 1
    assert "forward" not in vars(layer)
    with suppress(RuntimeError), replaced_forward({layer: lambda x: x + 1}):
        raise RuntimeError
    assert "forward" not in vars(layer)


@torch.no_grad()
def test_keys_stay_constant_within(pair: Pair) -> None:
    model = pair.model
    text, tokens = model.encode_prompts(["A rocket"]), [model.project(pair.features(1))]
    conditions = model.conditions(text, tokens)
    latents = torch.randn(1, *model.latent_shape)
    plain = model.predict_noise(latents, torch.tensor(5), conditions)
    with linear_as_convolution(model.unet), constant_keys(model.unet):
        fast = model.predict_noise(latents, torch.tensor(5), conditions)
    torch.testing.assert_close(fast, plain, atol=1e-5 * float(plain.abs().max()), rtol=0)


def test_what_works_on_an_accelerator_is_left_as_it_is(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    unet: Any = pair.model.unet
    linear = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    with _fast(pair.model):
        assert "forward" in vars(linear)
    monkeypatch.setattr(StableDiffusion, "device", torch.device("cuda"))
    with _fast(pair.model):
        assert "forward" not in vars(linear)
