"""StyleShot's files: read key for key, sizes read off the weights, bad files refused."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lightning_modules.diffusion.ip_adapter import cross_attention_layers, install_attention
from lightning_modules.styleshot.encoder import StyleEncoder
from lightning_modules.styleshot.weights import build_style_projection, load_style_encoder, read_styleshot
from tests.tiny import TEXT_DIM, tiny_unet
from tests.unit.lightning_modules.styleshot.reference import (
    CHANNELS,
    DIM,
    HEADS,
    LAYERS,
    SIZE,
    UNSHUFFLE,
    VISION,
    WIDTH,
    random_encoder,
    random_pixels,
)

Weights = dict[str, Tensor]
UNET = tiny_unet()
NAMES = cross_attention_layers(UNET)


def ip_bin(dim: int = DIM, token_dim: int = TEXT_DIM, seed: int = 0) -> Weights:
    """Random weights under the keys of `ip.bin`, a ControlNet's and a UNet's beside them."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"controlnet.conv_in.weight": (2, 3), "unet.conv_in.weight": (2, 3)}
    for level in range(3):
        head = f"style_image_proj_modules.{level}"
        shapes |= {f"{head}.proj.weight": (2 * token_dim, dim), f"{head}.proj.bias": (2 * token_dim,)}
        shapes |= {f"{head}.norm.weight": (token_dim,), f"{head}.norm.bias": (token_dim,)}
    for place, name in enumerate(NAMES):
        width = UNET.get_submodule(name).to_k.weight.shape[0]
        for kind in "kv":
            shapes[f"adapter_modules.{2 * place + 1}.to_{kind}_ip.weight"] = (width, token_dim)
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def alias(key: str) -> str:
    """The UNet's name of an attention weight."""
    _, number, rest = key.split(".", 2)
    return f"unet.{NAMES[int(number) // 2]}.processor.{rest}"


def test_encoder_is_loaded_key_for_key(encoder: StyleEncoder) -> None:
    expected, loaded = random_encoder(), encoder.state_dict()
    assert set(loaded) == set(expected)
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)
    assert not encoder.training and all(not tensor.is_meta for tensor in [*encoder.parameters(), *encoder.buffers()])


def test_sizes_are_read_off_the_weights(encoder: StyleEncoder) -> None:
    config, vision = encoder.config, encoder.config.vision
    assert (config.channels, config.unshuffle, config.image_size) == (CHANNELS, UNSHUFFLE, SIZE)
    assert (vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers) == (WIDTH, 48, LAYERS)
    assert (vision.num_attention_heads, vision.projection_dim) == (HEADS, DIM)
    assert (vision.patch_size, vision.image_size) == (8, 24)


def test_encoder_from_other_formats(tmp_path: Path, encoder: StyleEncoder) -> None:
    tensors = {**random_encoder(), f"{VISION}.embeddings.position_ids": torch.arange(10)[None]}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    expected = encoder.encode(random_pixels(1))
    for name in ("a.safetensors", "old.bin"):
        assert torch.equal(load_style_encoder(tmp_path / name, HEADS).encode(random_pixels(1)), expected)
    loaded = load_style_encoder(tmp_path / "old.bin", HEADS, permutations=3, seed=7)
    assert (loaded.permutations, loaded.seed) == (3, 7)


def without(key: str) -> Callable[[Weights], object]:
    return lambda tensors: tensors.pop(key)


def with_zeros(key: str, *shape: int) -> Callable[[Weights], object]:
    return lambda tensors: tensors.update({key: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("cnn.1.conv_in.weight"), "missing keys cnn.1.conv_in.weight"),
        (without("cnn.2.body.1.in_conv.bias"), "missing keys cnn.2.body.1.in_conv.bias, unknown keys none"),
        (without(f"{VISION}.encoder.layers.0.mlp.fc1.bias"), "missing keys .*layers.0.mlp.fc1.bias, unknown keys none"),
        (without("style_embeddings.2"), "missing keys style_embeddings.2, unknown keys none"),
        (with_zeros("extra", 1), "missing keys none, unknown keys extra"),
        (with_zeros("position_embedding.weight", 60, WIDTH), r"must be \(59, 32\) .*; got \(60, 32\)"),
        (with_zeros("cnn.1.conv_in.weight", 4, 27, 3, 3), r"must be \(4, 12, 3, 3\) .*; got \(4, 27, 3, 3\)"),
    ],
)
def test_encoders_that_are_refused(tmp_path: Path, change: Callable[[Weights], object], message: str) -> None:
    tensors = random_encoder()
    change(tensors)
    torch.save(tensors, tmp_path / "a.bin")
    with pytest.raises(ValueError, match=f"`style_encoder`: .*{message}"):
        load_style_encoder(tmp_path / "a.bin", HEADS)


def test_other_files_and_heads_in_place_of_the_encoders(tmp_path: Path, encoder_file: Path) -> None:
    for content, message in (
        (ip_bin(), "missing keys cnn.0.adapter.bias, .* and 598 more, unknown keys adapter_modu"),
        (torch.zeros(2), "a.bin' is damaged, .*it holds a Tensor, and no dictionary"),
    ):
        torch.save(content, tmp_path / "a.bin")
        with pytest.raises(ValueError, match=message):
            load_style_encoder(tmp_path / "a.bin")
    with pytest.raises(ValueError, match="`heads` must divide the width 32 .*; got 5"):
        load_style_encoder(encoder_file, heads=5)


def test_parts_of_ip_bin_are_installed(tmp_path: Path) -> None:
    tensors = ip_bin()
    torch.save(tensors, tmp_path / "ip.bin")
    weights = read_styleshot(tmp_path / "ip.bin", NAMES)
    parts = {"style_image_proj_modules": weights.heads, "adapter_modules": weights.attention}
    read = {f"{prefix}.{key}": tensor for prefix, part in parts.items() for key, tensor in part.items()}
    read["controlnet.conv_in.weight"] = weights.controlnet["conv_in.weight"]
    assert set(read) == set(tensors) - {"unet.conv_in.weight"}
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in read.items())
    projection = build_style_projection(weights.heads, DIM, TEXT_DIM)
    for key, tensor in projection.heads.state_dict().items():
        assert torch.equal(tensor, tensors[f"style_image_proj_modules.{key}"])
    unet = tiny_unet()
    install_attention(unet, weights.attention, projection.num_tokens)
    for place, name in enumerate(NAMES):
        processor = unet.get_submodule(name).processor
        assert processor.num_tokens == (6,)
        assert torch.equal(processor.to_v_ip[0].weight, tensors[f"adapter_modules.{2 * place + 1}.to_v_ip.weight"])


@pytest.mark.parametrize("lost", [r"adapter_modules\.", r"adapter_modules\.(3|13)\.to_k"])
def test_aliases_stand_in_for_lost_keys(tmp_path: Path, lost: str) -> None:
    tensors = ip_bin()
    kept = {alias(key) if re.match(lost, key) else key: tensor for key, tensor in tensors.items()}
    assert set(kept) != set(tensors)
    save_file(kept, tmp_path / "ip.safetensors")
    attention = read_styleshot(tmp_path / "ip.safetensors", NAMES).attention
    assert len(attention) == 2 * len(NAMES)
    assert all(torch.equal(tensor, tensors[f"adapter_modules.{key}"]) for key, tensor in attention.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            without("adapter_modules.3.to_v_ip.weight"),
            "missing keys adapter_modules.3.to_v_ip.weight, unknown keys none",
        ),
        (without("style_image_proj_modules.2.norm.bias"), "missing keys style_image.*2.norm.bias, unknown keys none"),
        (with_zeros("adapter_modules.15.to_k_ip.weight", 1), "missing keys none, unknown keys adapter_modules.15.to_k"),
        (lambda tensors: tensors.clear(), "missing keys adapter_modules.1.to_k_ip.weight, .* and 16 more"),
    ],
)
def test_projections_that_are_refused(tmp_path: Path, change: Callable[[Weights], object], message: str) -> None:
    tensors = ip_bin()
    change(tensors)
    torch.save(tensors, tmp_path / "ip.bin")
    with pytest.raises(ValueError, match=f"`ip_adapter`: .*{message}"):
        read_styleshot(tmp_path / "ip.bin", NAMES)


def heads(**sizes: int) -> Weights:
    prefix = "style_image_proj_modules."
    return {key.removeprefix(prefix): tensor for key, tensor in ip_bin(**sizes).items() if key.startswith(prefix)}


def test_heads_of_another_encoder_base_or_size() -> None:
    odd = {**heads(), "1.proj.weight": torch.zeros(2 * TEXT_DIM, DIM + 1)}
    for wrong, token_dim, message in (
        (heads(dim=24), TEXT_DIM, "`ip_adapter` was trained on .* size 24, but `style_encoder` gives size 20"),
        (heads(), 768, "tokens of size 24, but the UNet of `model` attends to size 768"),
        (odd, TEXT_DIM, r"1.proj.weight in style_image.* must be \(48, 20\) .*; got \(48, 21\)"),
    ):
        with pytest.raises(ValueError, match=message):
            build_style_projection(wrong, DIM, token_dim)
