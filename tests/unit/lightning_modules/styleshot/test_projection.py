"""The three heads, and attention to their six tokens."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from torch import Tensor
from torch.nn import functional

from lightning_modules.styleshot.encoder import StyleProjection
from tests.float64 import assert_same

DIM, TOKEN_DIM, HIDDEN, HEADS = 20, 24, 16, 2


@pytest.fixture(scope="module")
def projection() -> StyleProjection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        projection = StyleProjection(DIM, TOKEN_DIM).requires_grad_(False).double()
        for parameter in projection.parameters():
            parameter.normal_()
    return projection


def by_hand(projection: StyleProjection, features: Tensor) -> Tensor:
    """Two tokens for each level: Linear, reshape, LayerNorm."""
    tokens = []
    for level in range(3):
        weights = {key: tensor.double() for key, tensor in projection.heads[level].state_dict().items()}
        rows = (features[:, level].double() @ weights["proj.weight"].T + weights["proj.bias"]).view(-1, 2, TOKEN_DIM)
        rows = (rows - rows.mean(-1, keepdim=True)) / (rows.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
        tokens.append(rows * weights["norm.weight"] + weights["norm.bias"])
    return torch.cat(tokens, dim=1)


def test_tokens_are_two_of_each_level_in_order(projection: StyleProjection) -> None:
    features = torch.randn(4, 3, DIM, dtype=torch.float64)
    tokens = projection(features)
    assert tokens.shape == (4, 6, TOKEN_DIM) and projection.num_tokens == 6
    assert_same(tokens.double(), by_hand(projection, features))


def test_unconditional_tokens_are_those_of_zeros(projection: StyleProjection) -> None:
    biases = torch.cat([head.norm(head.proj.bias.view(1, 2, TOKEN_DIM)) for head in projection.heads], dim=1)
    assert_same(projection(torch.zeros(1, 3, DIM)), biases)


def test_features_of_any_precision(projection: StyleProjection) -> None:
    features = torch.randn(2, 3, DIM)
    assert torch.equal(projection(features), projection(features.double()))


@pytest.mark.parametrize("shape", [(2, DIM), (2, 4, DIM), (2, 1, 3, DIM)])
def test_features_without_three_levels(projection: StyleProjection, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`features` must be \(batch, 3, dim\).*high, middle, low.*got \(2, "):
        projection(torch.zeros(shape))


def test_features_of_another_encoder(projection: StyleProjection) -> None:
    with pytest.raises(ValueError, match=r"must be \(batch, 20\).*got \(2, 21\)"):
        projection(torch.zeros(2, 3, 21))


def test_six_tokens_share_one_softmax(projection: StyleProjection) -> None:
    torch.manual_seed(1)
    processor = IPAdapterAttnProcessor2_0(HIDDEN, TOKEN_DIM, num_tokens=(projection.num_tokens,), scale=0.7)
    layer = Attention(HIDDEN, TOKEN_DIM, heads=HEADS, dim_head=HIDDEN // HEADS, processor=processor).double()
    states, text = torch.randn(2, 5, HIDDEN).double(), torch.randn(2, 7, TOKEN_DIM).double()
    features = torch.randn(2, 3, DIM, dtype=torch.float64)
    tokens = MultiIPAdapterImageProjection([projection])([features[:, None]])
    out = layer(states, encoder_hidden_states=(text, [part.double() for part in tokens]))

    query = layer.to_q(states)
    words = attend(query, layer.to_k(text), layer.to_v(text))
    style = by_hand(projection, features)
    pictures = attend(query, processor.to_k_ip[0](style), processor.to_v_ip[0](style))
    expected = layer.to_out[0](words + 0.7 * pictures)
    assert_same(out, expected)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (query, key, value))
    weights = functional.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)
