"""Keys and values are computed once a picture, and every step sees the same."""

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from lightning_modules.diffusion import sampling
from lightning_modules.diffusion.config import SamplingSettings
from lightning_modules.diffusion.constant_keys import constant_keys
from lightning_modules.diffusion.ip_adapter import cross_attention_layers
from lightning_modules.diffusion.sampling import sample
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings(steps=3)


def _draw(pair: Pair, sets: int = 1) -> torch.Tensor:
    model: Any = pair.model
    dim = model.image_projection.dim
    features = list(torch.randn(sets, 2, dim, generator=torch.Generator().manual_seed(0)).unbind())
    return sample(model, SETTINGS, model.encode_prompts(["A rocket", "A bench"]), features, [1, 2], shares=[1] * sets)


@pytest.mark.parametrize("sets", [1, 2])
def test_pictures_are_the_same_bit_for_bit(pair: Pair, sets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _draw(pair, sets)
    monkeypatch.setattr(sampling, "constant_keys", lambda *_: torch.no_grad())
    assert torch.equal(kept, _draw(pair, sets))


def test_each_layer_computes_its_keys_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    unet: Any = pair.model.unet
    calls: Counter[str] = Counter()
    monkeypatch.setattr(sampling, "linear_as_convolution", lambda _: nullcontext())
    original = torch.nn.functional.linear
    names = {}
    for layer in cross_attention_layers(unet):
        attention = unet.get_submodule(layer)
        ip = attention.processor
        for kind, linear in {
            "k": attention.to_k,
            "v": attention.to_v,
            "k_ip": ip.to_k_ip[0],
            "v_ip": ip.to_v_ip[0],
        }.items():
            names[id(linear.weight)] = f"{layer}.{kind}"

    def counting(x: Any, weight: Any, bias: Any = None) -> Any:
        calls[names.get(id(weight), "other")] += 1
        return original(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", counting)
    _draw(pair)
    assert {name: calls[name] for name in names.values()} == dict.fromkeys(names.values(), 1)


def test_the_unet_is_left_as_it_was(pair: Pair) -> None:
    unet: Any = pair.model.unet
    linears = [unet.get_submodule(layer).to_k for layer in cross_attention_layers(unet)]
    with pytest.raises(RuntimeError, match="shapes"), constant_keys(unet):
        linears[0](torch.ones(1, linears[0].in_features + 1))
    assert not any("forward" in vars(linear) for linear in linears)


def test_other_tokens_are_computed_anew(pair: Pair) -> None:
    unet: Any = pair.model.unet
    to_k = unet.get_submodule(cross_attention_layers(unet)[0]).to_k
    tokens = torch.randn(2, 1, 3, to_k.in_features, dtype=torch.float64)
    with constant_keys(unet):
        first, second = to_k(tokens[0]), to_k(tokens[1])
    assert torch.equal(first, to_k(tokens[0])) and torch.equal(second, to_k(tokens[1]))
