"""The attention of each layer, written out in float64: `attn(text) + sum of scale * attn(image tokens)`."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.diffusion.scales import cross_attention_layers, scaled
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

PROMPTS = ["A rocket", "a toy frog"]
Recorded = dict[str, tuple[Tensor, Tensor]]


def _attended(query: Tensor, source: Tensor, to_k: nn.Linear, to_v: nn.Linear, heads: int) -> Tensor:
    """softmax(q k' / sqrt(d)) v, head by head; all `(batch, tokens, size)`."""
    key, value = (source.double() @ layer.weight.double().T for layer in (to_k, to_v))
    parts = []
    for q, k, v in zip(query.chunk(heads, -1), key.chunk(heads, -1), value.chunk(heads, -1), strict=True):
        logits = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
        parts.append(weights @ v)
    return torch.cat(parts, -1)


def _by_hand(layer: Any, hidden: Tensor, text: Tensor, tokens: list[Tensor], scales: list[float]) -> Tensor:
    query = hidden.double() @ layer.to_q.weight.double().T
    result = _attended(query, text, layer.to_k, layer.to_v, layer.heads)
    for each, scale in zip(tokens, scales, strict=True):
        processor = layer.processor
        result = result + scale * _attended(query, each, processor.to_k_ip[0], processor.to_v_ip[0], layer.heads)
    out = layer.to_out[0]
    return result @ out.weight.double().T + out.bias.double()


def _recorded(pair: Pair, tokens: list[Tensor]) -> Recorded:
    """Input and output of every cross-attention layer in one call of the UNet."""
    model, seen, hooks = pair.model, {}, []
    for name in cross_attention_layers(model.unet):

        def keep(_module: Any, args: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
            seen[name] = args[0], output

        hooks.append(model.unet.get_submodule(name).register_forward_hook(keep))
    latents = torch.randn(2, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    model.predict_noise(latents, torch.tensor([10, 700]), model.conditions(model.encode_prompts(PROMPTS), tokens))
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
@pytest.mark.parametrize("shares", [(1.0,), (0.3, 0.7)])
def test_each_layer_is_text_attention_plus_scaled_image_attention(pair: Pair, shares: tuple[float, ...]) -> None:
    model = pair.model
    tokens = [model.project(pair.features(2, seed)) for seed, _ in enumerate(shares)]
    text = model.encode_prompts(PROMPTS).states
    block = "up_blocks.0.attentions.1"
    with scaled(model.unet, {block: 1.4, "mid_block": 0.6}, shares):
        recorded = _recorded(pair, tokens)
        assert list(recorded) != [] and set(recorded) == set(cross_attention_layers(model.unet))
        for name, (hidden, output) in recorded.items():
            scale = 1.4 if name.startswith(f"{block}.") else 0.6 if name.startswith("mid_block.") else 0.0
            layer = model.unet.get_submodule(name)
            expected = _by_hand(layer, hidden, text, tokens, [scale * share for share in shares])
            assert_same(output.double(), expected)
