"""Linear layers as convolutions: the same numbers, for as long as they are asked for."""

from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.diffusion.config import Backbone
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
    _assert_rounded(ours, expected, network[0], x)


@torch.no_grad()
def test_a_view_that_is_not_contiguous() -> None:
    network, x = nn.Sequential(nn.Linear(6, 3)), torch.randn(6, 4, 5).permute(2, 1, 0)
    with linear_as_convolution(network):
        ours = network(x)
    _assert_rounded(ours, network.double()(x.double()), network[0], x)


def _assert_rounded(ours: Tensor, exact: Tensor, layer: Any, x: Tensor) -> None:
    """Within the error that n additions and products in float32 can have, in any order."""
    terms = x.double().abs() @ layer.weight.abs().T + (0 if layer.bias is None else layer.bias.abs())
    assert ((ours - exact).abs() <= (x.shape[-1] + 1) * torch.finfo(torch.float32).eps * terms).all()


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
    model = StableDiffusion.load(Backbone(str(pair.folder)))
    text, tokens = model.encode_prompts(["A rocket"]), [model.project(pair.features(1))]
    conditions = model.conditions(text, tokens)
    latents = torch.randn(1, *model.latent_shape)
    exact = pair.model.predict_noise(latents, torch.tensor(5), conditions)
    plain = model.predict_noise(latents, torch.tensor(5), conditions)
    with linear_as_convolution(model.unet), constant_keys(model.unet):
        fast = model.predict_noise(latents, torch.tensor(5), conditions)
    rounding = float((plain - exact).abs().max())
    assert 0 < float((fast - exact).abs().max()) < 10 * rounding


def test_what_works_on_an_accelerator_is_left_as_it_is(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    model = StableDiffusion.load(Backbone(str(pair.folder)))
    unet: Any = model.unet
    linear = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    with _fast(model):
        assert "forward" in vars(linear)
    monkeypatch.setattr(StableDiffusion, "device", torch.device("cuda"))
    with _fast(model):
        assert "forward" not in vars(linear)
