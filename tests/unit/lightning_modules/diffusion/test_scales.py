"""Scales of the image tokens, layer by layer."""

from collections.abc import Mapping

import pytest
from diffusers import UNet2DConditionModel
from diffusers.loaders import IPAdapterMixin
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0

from lightning_modules.diffusion.ip_adapter import block_names, block_scales, cross_attention_layers, scaled
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.tiny import TEXT_DIM


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
    assert block_names(layers) == [
        "down_blocks.1", "down_blocks.1.attentions.0", "down_blocks.10", "down_blocks.10.attentions.0"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("target_blocks", "expected"),
    [
        ("all", 0.5),
        ("style", {"up_blocks.0.attentions.1": 0.5}),
        ("style_layout", {"up_blocks.0.attentions.1": 0.5, "down_blocks.2.attentions.1": 0.5}),
        (["mid_block", "up_blocks.1"], {"mid_block": 0.5, "up_blocks.1": 0.5}),
    ],
)
def test_target_blocks(sdxl: StableDiffusion, target_blocks: str | list[str], expected: object) -> None:
    assert block_scales(0.5, target_blocks, sdxl.BLOCKS) == expected


class _Recorder(IPAdapterMixin):
    """diffusers' own way to set scales, on a UNet alone."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self.unet_name, self.unet = "unet", unet


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
    unet.set_attn_processor(
        {
            name: IPAdapterAttnProcessor2_0(8, TEXT_DIM, [4]) if ".attn2." in name else AttnProcessor2_0()
            for name in unet.attn_processors
        }
    )
    _Recorder(unet).set_ip_adapter_scale({"down": {"block_2": [0.5] * 2}, "mid": 0.5, "up": {"block_1": [0.5] * 3}})
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
