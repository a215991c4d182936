"""Reading IP-Adapter files and installing their attention."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.ip_adapter import (
    ImageProjection,
    build_projection,
    cross_attention_layers,
    install_attention,
    read_ip_adapter,
)
from tests.float64 import assert_same
from tests.tiny import tiny_ip_adapter, tiny_unet

Nested = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def weights(tiny_backbone: Backbone) -> Nested:
    nested: Nested = torch.load(Path(tiny_backbone.model) / "ip_adapter.bin", weights_only=True)
    return nested


def test_both_formats_hold_the_same(tiny_backbone: Backbone, weights: Nested) -> None:
    for name in ("ip_adapter.bin", "ip_adapter.safetensors"):
        read = read_ip_adapter(Path(tiny_backbone.model) / name)
        for part, expected in weights.items():
            tensors = getattr(read, part)
            assert set(tensors) == set(expected)
            assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_layers_are_numbered_down_up_mid(weights: Nested) -> None:
    unet = tiny_unet()
    install_attention(unet, weights["ip_adapter"], num_tokens=4)
    layer = "down_blocks.{}.attentions.0.transformer_blocks.0.attn2"
    up = "up_blocks.{}.attentions.{}.transformer_blocks.0.attn2"
    middle = "mid_block.attentions.0.transformer_blocks.0.attn2"
    order = [layer.format(0), layer.format(1), *(up.format(a, b) for a in (0, 1) for b in (0, 1)), middle]
    assert cross_attention_layers(unet) == order
    for place, name in enumerate(order):
        processor = unet.get_submodule(name).processor
        assert torch.equal(processor.to_k_ip[0].weight, weights["ip_adapter"][f"{2 * place + 1}.to_k_ip.weight"])
        assert torch.equal(processor.to_v_ip[0].weight, weights["ip_adapter"][f"{2 * place + 1}.to_v_ip.weight"])
        assert processor.num_tokens == (4,)


def test_projection_is_linear_reshape_layer_norm(weights: Nested) -> None:
    part = {key: tensor.double() for key, tensor in weights["image_proj"].items()}
    projection = build_projection(part, token_dim=24).double()
    feature = torch.randn(3, 20, dtype=torch.float64)
    linear = (feature @ part["proj.weight"].T + part["proj.bias"]).reshape(3, 4, 24)
    expected = functional.layer_norm(linear, (24,), part["norm.weight"], part["norm.bias"])
    assert projection.num_tokens == 4
    assert_same(projection(feature), expected)


@pytest.mark.parametrize("shape", [(2, 21), (2, 3, 20), (20,)])
def test_feature_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"`feature` must be \(batch, 20\).*got {re.escape(str(shape))}"):
        ImageProjection(20, 4, 24)(torch.zeros(shape))


@pytest.mark.parametrize("key", ["latents", "proj_in.weight", "proj.0.weight"])
def test_plus_adapters_are_refused(tmp_path: Path, weights: Nested, key: str) -> None:
    tensors = {f"image_proj.{key}": torch.zeros(1), "ip_adapter.1.to_k_ip.weight": torch.zeros(1)}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="no text-aligned vector.*ip-adapter_sd15.safetensors"):
        read_ip_adapter(tmp_path / "a.safetensors")


def test_other_parts_are_refused(tmp_path: Path) -> None:
    save_file({"unet.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="`ip_adapter` must be a file with the parts .* has unet"):
        read_ip_adapter(tmp_path / "a.safetensors")


def test_unknown_projection_key(tmp_path: Path, weights: Nested) -> None:
    torch.save({**weights, "image_proj": {**weights["image_proj"], "extra": torch.zeros(1)}}, tmp_path / "a.bin")
    with pytest.raises(ValueError, match="image_proj does not fit .* missing keys none, unknown keys extra"):
        read_ip_adapter(tmp_path / "a.bin")


def test_missing_and_unknown_layers() -> None:
    unet = tiny_unet()
    layers = tiny_ip_adapter(unet)["ip_adapter"]
    layers["15.to_k_ip.weight"] = layers.pop("13.to_k_ip.weight")
    with pytest.raises(ValueError, match="missing keys 13.to_k_ip.weight, unknown keys 15.to_k_ip.weight"):
        install_attention(unet, layers, num_tokens=4)


def test_long_lists_of_keys_are_cut() -> None:
    with pytest.raises(ValueError, match=r"missing keys 1.to_k_ip.weight, .* and 4 more, unknown keys none"):
        install_attention(tiny_unet(), {}, num_tokens=4)


def test_layer_of_another_shape() -> None:
    unet = tiny_unet()
    layers = tiny_ip_adapter(unet)["ip_adapter"]
    layers["3.to_v_ip.weight"] = torch.zeros(16, 25)
    with pytest.raises(ValueError, match=r"3.to_v_ip.weight must be \(16, 24\) .* down_blocks.1.* got \(16, 25\)"):
        install_attention(unet, layers, num_tokens=4)


def test_adapter_of_another_base(weights: Nested) -> None:
    with pytest.raises(ValueError, match="tokens of size 24 .* attends to size 768.*made for this base"):
        build_projection(weights["image_proj"], token_dim=768)
