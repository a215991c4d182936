"""The style encoder against a reading of its definition, and the three heads behind it."""

import copy
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_modules.styleshot.encoder import STYLE_TOKENS, StyleEncoder, StyleEncoderConfig, StyleProjection
from lightning_modules.styleshot.pyramid import PATCHES, centre_crop
from tests.float64 import assert_same
from tests.unit.lightning_modules.styleshot.reference import DIM, SIZE, encode, random_encoder, random_pixels

TOKEN_DIM = 24


@pytest.fixture(scope="module")
def exact(encoder: StyleEncoder) -> StyleEncoder:
    return copy.deepcopy(encoder).double()


def with_orders(encoder: StyleEncoder, permutations: int, seed: int = 0) -> StyleEncoder:
    shuffling = copy.copy(encoder)
    shuffling.permutations, shuffling.seed = permutations, seed
    return shuffling


def test_canonical_order_equals_the_definition(exact: StyleEncoder) -> None:
    pixels = random_pixels(2)
    expected = np.stack([encode(random_encoder(), picture) for picture in pixels])
    features = exact.encode(pixels.double())
    assert features.shape == (2, 3, DIM) and exact.dim == DIM
    assert_same(features, expected)


def test_average_over_orders_equals_the_definition(exact: StyleEncoder) -> None:
    pixels = random_pixels(1)
    generator = torch.Generator().manual_seed(5)
    orders = [[torch.randperm(n, generator=generator).tolist() for n in PATCHES] for _ in range(2)]
    expected = np.mean([encode(random_encoder(), pixels[0], order) for order in orders], axis=0)
    assert_same(with_orders(exact, 2, seed=5).encode(pixels.double())[0], expected)


def test_orders_matter_and_are_seeded(encoder: StyleEncoder) -> None:
    pixels = random_pixels(1)
    canonical, first, again, other = (
        with_orders(encoder, count, seed).encode(pixels) for count, seed in ((0, 0), (1, 0), (1, 0), (1, 1))
    )
    assert torch.equal(first, again)
    assert (first - canonical).abs().max() > 1e-3 and (first - other).abs().max() > 1e-3


@pytest.mark.parametrize("permutations", [0, 2])
def test_a_picture_is_not_changed_by_its_batch(exact: StyleEncoder, permutations: int) -> None:
    pixels = random_pixels(3).double()
    shuffling = with_orders(exact, permutations)
    alone = torch.cat([shuffling.encode(picture[None]) for picture in pixels])
    assert_same(shuffling.encode(pixels), alone)


def test_images_are_cropped_first_and_nothing_learns(encoder: StyleEncoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (140, 200, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels), Image.fromarray(pixels[:, ::-1])]
    with torch.inference_mode():
        features = encoder(images)
    assert not features.requires_grad and not features.is_inference() and features.dtype == torch.float32
    expected = encoder.encode(torch.stack([centre_crop(image, SIZE) for image in images]))
    assert torch.equal(features, expected)


def test_half_precision_gives_single_precision_features(encoder: StyleEncoder) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    features = copy.deepcopy(encoder).to(torch.bfloat16)([image])
    assert features.dtype == torch.float32
    assert (features - encoder([image])).norm() < 0.1 * features.norm()


def test_published_sizes() -> None:
    config = StyleEncoderConfig()
    vision = config.vision
    assert config.image_size == 512
    assert (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) == (1280, 32, 16)
    assert (vision.intermediate_size, vision.projection_dim, vision.hidden_act) == (5120, 1024, "gelu")
    assert (vision.patch_size, vision.image_size, vision.layer_norm_eps) == (14, 224, 1e-5)
    assert STYLE_TOKENS == (0, 9, 26)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (3, SIZE, SIZE), (1, 1, SIZE, SIZE)])
def test_pictures_of_another_size(encoder: StyleEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"`pixels` must be \(batch, 3, 128, 128\).*{re.escape(str(shape))}"):
        encoder.encode(torch.zeros(shape))


@pytest.mark.parametrize(("blocks", "listed"), [((6, 6, 4), "[6, 6, 4]"), ((6, 5), "[6, 5]"), ((4, 3, 2), "[4, 3, 2]")])
def test_cnns_that_do_not_fit_the_pyramid(blocks: tuple[int, ...], listed: str) -> None:
    with pytest.raises(ValueError, match=f"`channels` must name three CNNs.*{re.escape(listed)}.*6, 5 and 4"):
        StyleEncoderConfig(tuple((4,) * (count + 1) for count in blocks))


def test_negative_number_of_permutations() -> None:
    with pytest.raises(ValueError, match=r"`permutations` must be 0 \(canonical order\) or positive; got -1"):
        StyleEncoder(permutations=-1)


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
    assert torch.equal(projection(features.float()), projection(features.float().double())), "of any precision"


def test_unconditional_tokens_are_those_of_zeros(projection: StyleProjection) -> None:
    biases = torch.cat([head.norm(head.proj.bias.view(1, 2, TOKEN_DIM)) for head in projection.heads], dim=1)
    assert_same(projection(torch.zeros(1, 3, DIM)), biases)


@pytest.mark.parametrize("shape", [(2, DIM), (2, 4, DIM), (2, 1, 3, DIM)])
def test_features_without_three_levels(projection: StyleProjection, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`features` must be \(batch, 3, dim\).*high, middle, low.*got \(2, "):
        projection(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"must be \(batch, 20\).*got \(2, 21\)"):
        projection(torch.zeros(2, 3, 21))
