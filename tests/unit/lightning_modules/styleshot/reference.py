"""StyleShot's encoder read off its definition: random weights in the public format, and its sums in float64."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]
SIZE, UNSHUFFLE, WIDTH, HEADS, LAYERS, DIM = 128, 2, 32, 4, 2, 20
MLP, PATCH, POSITIONS = 48, 8, 10
# Channels of the blocks of each level, and the blocks that halve.
CHANNELS = ((4, 4, 6, 6, 6, 8, 8), (4, 4, 6, 6, 8, 8), (4, 4, 6, 8, 8))
HALVING = ((2, 3, 4), (2, 3), (2,))
VISION = "image_encoder.vision_model"


def public_shapes() -> dict[str, tuple[int, ...]]:
    """Every key of `style_aware_encoder.bin`, here in a reduced size."""
    shapes = dict(_vision_shapes())
    for level, channels in enumerate(CHANNELS):
        shapes |= dict(_cnn_shapes(f"cnn.{level}", channels))
        shapes[f"style_embeddings.{level}"] = (WIDTH,)
    return {**shapes, "position_embedding.weight": (59, WIDTH)}


def random_encoder(seed: int = 0) -> Weights:
    """Weights large enough that every part counts."""
    generator = torch.Generator().manual_seed(seed)
    return {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in public_shapes().items()}


def random_pixels(batch: int, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def boxes(size: int) -> list[list[tuple[int, int]]]:
    """Rows and columns of the upper left corners of the patches on three levels."""
    levels: list[list[tuple[int, int]]] = [[], [], []]
    for a, b in _corners(0, 0, size // 2):
        first = _corners(a, b, size // 4)
        levels[0] += [first[0], first[3]]
        for c, d in first[1:3]:
            second = _corners(c, d, size // 8)
            levels[1] += [second[0], second[3]]
            for e, f in second[1:3]:
                third = _corners(e, f, size // 16)
                levels[2] += [third[0], third[3]]
    return levels


def encode(weights: Weights, pixels: Tensor, orders: list[list[int]] | None = None) -> np.ndarray:
    """Style features `(3, dim)` of one picture `(3, size, size)`, its patches in the given order."""
    w = {key: tensor.double() for key, tensor in weights.items()}
    tokens = []
    for level, corners in enumerate(boxes(SIZE)):
        side = SIZE // (4, 8, 16)[level]
        patches = [pixels.double()[:, row : row + side, column : column + side] for row, column in corners]
        order = orders[level] if orders else range(len(patches))
        tokens += [w[f"style_embeddings.{level}"], *(_cnn(w, level, patches[place]) for place in order)]
    states = torch.stack(tokens) + w["position_embedding.weight"]
    states = _norm(w, f"{VISION}.pre_layrnorm", states)
    for layer in range(LAYERS):
        states = _layer(w, f"{VISION}.encoder.layers.{layer}", states)
    styles = _norm(w, f"{VISION}.post_layernorm", states[[0, 9, 26]])
    return (styles @ w["image_encoder.visual_projection.weight"].T).numpy()


def _corners(row: int, column: int, side: int) -> list[tuple[int, int]]:
    return [(row, column), (row + side, column), (row, column + side), (row + side, column + side)]


def _vision_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{VISION}.embeddings.class_embedding", (WIDTH,)
    yield f"{VISION}.embeddings.patch_embedding.weight", (WIDTH, 3, PATCH, PATCH)
    yield f"{VISION}.embeddings.position_embedding.weight", (POSITIONS, WIDTH)
    norms = ["pre_layrnorm", "post_layernorm"]
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        norms += [f"{name}.layer_norm1", f"{name}.layer_norm2"]
        linears = {f"self_attn.{part}_proj": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        linears |= {"mlp.fc1": (MLP, WIDTH), "mlp.fc2": (WIDTH, MLP)}
        for part, shape in linears.items():
            yield f"{VISION}.{name}.{part}.weight", shape
            yield f"{VISION}.{name}.{part}.bias", shape[:1]
    for norm in norms:
        yield f"{VISION}.{norm}.weight", (WIDTH,)
        yield f"{VISION}.{norm}.bias", (WIDTH,)
    yield "image_encoder.visual_projection.weight", (DIM, WIDTH)


def _cnn_shapes(name: str, channels: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    layers = {"conv_in": (channels[0], 3 * UNSHUFFLE**2, 3, 3), "adapter": (WIDTH, channels[-1])}
    for place, (before, after) in enumerate(pairwise(channels)):
        if before != after:
            layers[f"body.{place}.in_conv"] = (after, before, 1, 1)
        layers |= {f"body.{place}.block1": (after, after, 3, 3), f"body.{place}.block2": (after, after, 1, 1)}
    for layer, shape in layers.items():
        yield f"{name}.{layer}.weight", shape
        yield f"{name}.{layer}.bias", shape[:1]


def _cnn(w: Weights, level: int, patch: Tensor) -> Tensor:
    f, name = UNSHUFFLE, f"cnn.{level}"
    x = torch.stack([patch[c, dy::f, dx::f] for c in range(3) for dy in range(f) for dx in range(f)])
    x = _conv(w, f"{name}.conv_in", x)
    for block in range(len(CHANNELS[level]) - 1):
        part = f"{name}.body.{block}"
        if block in HALVING[level]:
            x = _halved(x)
        if f"{part}.in_conv.weight" in w:
            x = _conv(w, f"{part}.in_conv", x)
        x = x + _conv(w, f"{part}.block2", _conv(w, f"{part}.block1", x).clamp(0))
    x = _halved(x)
    assert x.shape[1:] == (1, 1)
    return _linear(w, f"{name}.adapter", x[:, 0, 0])


def _conv(w: Weights, name: str, x: Tensor) -> Tensor:
    return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding="same")


def _halved(x: Tensor) -> Tensor:
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(w: Weights, name: str, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def _layer(w: Weights, name: str, x: Tensor) -> Tensor:
    normed = _norm(w, f"{name}.layer_norm1", x)
    q, k, v = (_linear(w, f"{name}.self_attn.{part}_proj", normed).unflatten(1, (HEADS, -1)) for part in "qkv")
    scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(WIDTH // HEADS)
    mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1)
    x = x + _linear(w, f"{name}.self_attn.out_proj", mixed)
    h = _linear(w, f"{name}.mlp.fc1", _norm(w, f"{name}.layer_norm2", x))
    return x + _linear(w, f"{name}.mlp.fc2", h * (1 + torch.erf(h / math.sqrt(2))) / 2)
