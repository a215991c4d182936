"""Keys computed once, linear layers as convolutions: the same numbers, for as long as they are asked for."""

from collections import Counter
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.diffusion import sampling
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.ip_adapter import cross_attention_layers
from lightning_modules.diffusion.sampling import denoise, sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.unet_inputs import constant_keys, linear_as_convolution, replaced_forward
from tests.unit.lightning_modules.diffusion.stock import Pair

SETTINGS = SamplingSettings(steps=3)


def _draw(pair: Pair, sets: int = 1) -> torch.Tensor:
    model: Any = pair.model
    dim = model.image_projection.dim
    features = list(torch.randn(sets, 2, dim, generator=torch.Generator().manual_seed(0)).unbind())
    return sample(model, SETTINGS, model.encode_prompts(["A rocket", "A bench"]), features, [1, 2], shares=[1] * sets)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("sets", [1, 2])
def test_pictures_are_the_same_bit_for_bit(pair: Pair, sets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _draw(pair, sets)
    monkeypatch.setattr(sampling, "constant_keys", lambda *_: torch.no_grad())
    assert torch.equal(kept, _draw(pair, sets))


@pytest.mark.usefixtures("float64")
def test_each_layer_computes_its_keys_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    unet: Any = pair.model.unet
    calls: Counter[str] = Counter()
    monkeypatch.setattr(sampling, "linear_as_convolution", lambda _: nullcontext())
    original = torch.nn.functional.linear
    names = {}
    for layer in map(unet.get_submodule, cross_attention_layers(unet)):
        for linear in (layer.to_k, layer.to_v, layer.processor.to_k_ip[0], layer.processor.to_v_ip[0]):
            names[id(linear.weight)] = str(len(names))

    def counting(x: Any, weight: Any, bias: Any = None) -> Any:
        calls[names.get(id(weight), "other")] += 1
        return original(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", counting)
    _draw(pair)
    assert {name: calls[name] for name in names.values()} == dict.fromkeys(names.values(), 1)


@pytest.mark.usefixtures("float64")
def test_the_unet_is_left_as_it_was(pair: Pair) -> None:
    unet: Any = pair.model.unet
    linears = [unet.get_submodule(layer).to_k for layer in cross_attention_layers(unet)]
    with pytest.raises(RuntimeError, match="shapes"), constant_keys(unet):
        linears[0](torch.ones(1, linears[0].in_features + 1))
    assert not any("forward" in vars(linear) for linear in linears)


@pytest.mark.usefixtures("float64")
def test_other_tokens_are_computed_anew(pair: Pair) -> None:
    unet: Any = pair.model.unet
    to_k = unet.get_submodule(cross_attention_layers(unet)[0]).to_k
    tokens = torch.randn(2, 1, 3, to_k.in_features, dtype=torch.float64)
    with constant_keys(unet):
        first, second = to_k(tokens[0]), to_k(tokens[1])
    assert torch.equal(first, to_k(tokens[0])) and torch.equal(second, to_k(tokens[1]))


class Own(nn.Linear):
    """A subclass, which may compute something else."""


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (1, 1, 1, 24)])
def test_the_same_numbers_in_the_same_shape(shape: tuple[int, ...], contiguous: bool, bias: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(24, 40, bias=bias))
    x = torch.randn(shape) if contiguous else torch.randn(*shape[::-1]).permute(*reversed(range(len(shape))))
    with torch.no_grad(), linear_as_convolution(network):
        ours = network(x)
    expected = network.double()(x.double())
    assert ours.shape == expected.shape and (ours.is_contiguous() or not contiguous)
    _assert_rounded(ours, expected, network[0], x)


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
    model: Any = StableDiffusion.load(Backbone(str(pair.folder)))
    conditions = model.conditions(model.encode_prompts(["A rocket"]), [model.project(pair.features(1))])
    linear, replaced = model.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q, []

    def look(*_: Any) -> None:
        replaced.append("forward" in vars(linear))
        raise RuntimeError("seen")

    monkeypatch.setattr(model, "predict_noise", look)
    for device in ("cpu", "meta"):
        monkeypatch.setattr(StableDiffusion, "device", torch.device(device))
        with pytest.raises(RuntimeError, match="seen"):
            denoise(model, SETTINGS, conditions, None, [1])
    assert replaced == [True, False]
