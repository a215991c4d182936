"""Reading IP-Adapter files, installing their attention, and its scales, layer by layer."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import IPAdapterMixin
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.ip_adapter import (
    ImageProjection,
    block_names,
    block_scales,
    build_projection,
    cross_attention_layers,
    install_attention,
    read_ip_adapter,
    scaled,
)
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.float64 import assert_same
from tests.tiny import TEXT_DIM, tiny_ip_adapter, tiny_unet

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


def test_other_parts_and_keys_are_refused(tmp_path: Path, weights: Nested) -> None:
    save_file({"unet.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="`ip_adapter` must be a file with the parts .* has unet"):
        read_ip_adapter(tmp_path / "a.safetensors")
    torch.save({**weights, "image_proj": {**weights["image_proj"], "extra": torch.zeros(1)}}, tmp_path / "a.bin")
    with pytest.raises(ValueError, match="image_proj does not fit .* missing keys none, unknown keys extra"):
        read_ip_adapter(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("lost", "added", "message"),
    [
        (r"13\.to_k", "15.to_k_ip.weight", "missing keys 13.to_k_ip.weight, unknown keys 15.to_k_ip.weight"),
        ("", "", "missing keys 1.to_k_ip.weight, .* and 4 more, unknown keys none"),
        ("none", "3.to_v_ip.weight", r"3.to_v_ip.weight must be \(16, 24\) .* down_blocks.1.* got \(16, 25\)"),
    ],
)
def test_layers_that_do_not_fit(lost: str, added: str, message: str) -> None:
    unet = tiny_unet()
    layers = {key: it for key, it in tiny_ip_adapter(unet)["ip_adapter"].items() if not re.match(lost, key)}
    with pytest.raises(ValueError, match=message):
        install_attention(unet, layers | ({added: torch.zeros(16, 25)} if added else {}), num_tokens=4)


def test_adapter_of_another_base(weights: Nested) -> None:
    with pytest.raises(ValueError, match="tokens of size 24 .* attends to size 768.*made for this base"):
        build_projection(weights["image_proj"], token_dim=768)


def _scales(model: StableDiffusion) -> list[float]:
    """down 0, down 1, up 0 (two), up 1 (two), mid."""
    layers = cross_attention_layers(model.unet)
    return [model.unet.get_submodule(layer).processor.scale[0] for layer in layers]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (0.5, [0.5] * 7),
        ({}, [0] * 7),
        ({"down_blocks.1": 0.3}, [0, 0.3, 0, 0, 0, 0, 0]),
        ({"up_blocks.0.attentions.1": 1.0}, [0, 0, 0, 1.0, 0, 0, 0]),
        ({"up_blocks.1": 0.2, "mid_block": 2.0}, [0, 0, 0, 0, 0.2, 0.2, 2.0]),
        ({"up_blocks.1.attentions.0": 0.9, "up_blocks.1": 0.2}, [0, 0, 0, 0, 0.9, 0.2, 0]),
    ],
)
def test_named_blocks_and_nothing_else(
    model: StableDiffusion, scale: float | Mapping[str, float], expected: list[float]
) -> None:
    with scaled(model.unet, scale):
        assert _scales(model) == expected
    assert _scales(model) == [1.0] * 7


def test_scales_come_back_after_an_error(model: StableDiffusion) -> None:
    with pytest.raises(RuntimeError, match="stopped"), scaled(model.unet, 0.1):
        raise RuntimeError("stopped")
    assert _scales(model) == [1.0] * 7


@pytest.mark.parametrize("name", ["up_blocks.9", "up_blocks.0.attentions.7", "up", "down_blocks.1."])
def test_unknown_block(model: StableDiffusion, name: str) -> None:
    refused = rf"`scale` or `target_blocks` names '{name}'.*It has: down_blocks.0, down_blocks.0"
    with pytest.raises(ValueError, match=refused), scaled(model.unet, {name: 1.0}):
        pass
    assert _scales(model) == [1.0] * 7


def test_a_block_is_not_the_beginning_of_another_number() -> None:
    layers = [f"down_blocks.{k}.attentions.0.transformer_blocks.0.attn2" for k in (1, 10)]
    expected = "down_blocks.1 down_blocks.1.attentions.0 down_blocks.10 down_blocks.10.attentions.0"
    assert " ".join(block_names(layers)) == expected


def test_style_and_layout_of_stable_diffusion_1_are_instantstyles() -> None:
    down, up = ("CrossAttn" + name + "Block2D" for name in ("Down", "Up"))
    unet = UNet2DConditionModel(
        block_out_channels=(8,) * 4,
        down_block_types=(down, down, down, "DownBlock2D"),
        up_block_types=("UpBlock2D", up, up, up),
        cross_attention_dim=TEXT_DIM,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    layers = cross_attention_layers(unet)
    image, other = IPAdapterAttnProcessor2_0, AttnProcessor2_0
    names = unet.attn_processors
    unet.set_attn_processor({name: image(8, TEXT_DIM, [4]) if ".attn2." in name else other() for name in names})
    theirs: Any = SimpleNamespace(unet_name="unet", unet=unet)  # a pipeline, as far as its method looks
    IPAdapterMixin.set_ip_adapter_scale(
        theirs, {"down": {"block_2": [0.5] * 2}, "mid": 0.5, "up": {"block_1": [0.5] * 3}}
    )
    expected = [unet.get_submodule(layer).processor.scale for layer in layers]
    with scaled(unet, block_scales(0.5, "style_layout", StableDiffusion.BLOCKS)):
        assert [unet.get_submodule(layer).processor.scale for layer in layers] == expected
    assert sum(scale == [0.5] for scale in expected) == 2 + 1 + 3


def test_unknown_preset(sdxl: StableDiffusion) -> None:
    with pytest.raises(ValueError, match="""must be "all", one of 'style', 'style_layout', or a list.*got 'layout'"""):
        block_scales(1.0, "layout", sdxl.BLOCKS)


def test_blocks_that_a_unet_lacks_or_that_see_no_image(model: StableDiffusion, sdxl: StableDiffusion) -> None:
    scale = block_scales(1.0, "style_layout", model.BLOCKS)
    lacking = "`target_blocks` names 'down_blocks.2', which this UNet does not have"
    with pytest.raises(ValueError, match=lacking), scaled(model.unet, scale):
        pass
    blind = "'down_blocks.0', which .*holds no cross-attention. It has: down_blocks.1,"
    with pytest.raises(ValueError, match=blind), scaled(sdxl.unet, {"down_blocks.0": 1.0}):
        pass


def test_sets_of_tokens_share_the_scale_and_the_matrices(model: StableDiffusion) -> None:
    processors = [model.unet.get_submodule(layer).processor for layer in cross_attention_layers(model.unet)]
    keys = set(model.state_dict())
    with scaled(model.unet, {"mid_block": 0.5}, (0.2, 0.8)):
        assert [p.scale for p in processors] == [[0, 0]] * 6 + [[0.1, 0.4]]
        assert all(p.to_k_ip[0] is p.to_k_ip[1] and p.to_v_ip[0] is p.to_v_ip[1] for p in processors)
    assert [p.scale for p in processors] == [[1.0]] * 7 and set(model.state_dict()) == keys
