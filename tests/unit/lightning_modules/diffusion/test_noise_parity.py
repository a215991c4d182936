"""One call of the UNet must equal diffusers' UNet with diffusers' own IP-Adapter, in every layer's scale."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from lightning_modules.diffusion.ip_adapter import Scale, block_scales, scaled
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

PROMPTS = ["A rocket", "a toy frog", ""]
TIMESTEPS = torch.tensor([3, 400, 999])
STYLE = {"up": {"block_0": [0.0, 1.0, 0.0]}}
PRESETS: dict[str, dict[str, Any]] = {
    "style": STYLE,
    "style_layout": {**STYLE, "down": {"block_2": [0.0, 1.0]}},
}


@pytest.fixture(scope="module")
def unet(pair: Pair) -> Any:
    """diffusers' UNet within the stock pipeline, with its IP-Adapter."""
    return pair.pipeline()


def _latents(pair: Pair) -> Tensor:
    return torch.randn(3, *pair.model.latent_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _own(pair: Pair, sets: Sequence[Tensor], scale: Scale = 1.0, shares: Sequence[float] = (1.0,)) -> Tensor:
    model = pair.model
    conditions = model.conditions(model.encode_prompts(PROMPTS), [model.project(each) for each in sets])
    with torch.no_grad(), scaled(model.unet, scale, shares):
        return model.predict_noise(_latents(pair), TIMESTEPS, conditions)


def _added(pair: Pair) -> dict[str, Tensor]:
    """What SDXL's UNet reads besides: pooled text and the sizes of a native, uncropped picture."""
    if "add_embedding" not in dict(pair.model.unet.named_children()):
        return {}
    sizes = torch.tensor([16.0, 16, 0, 0, 16, 16]).expand(3, -1)
    return {"text_embeds": pair.model.encode_prompts(PROMPTS).pooled, "time_ids": sizes}


@torch.no_grad()
def _stock(pair: Pair, unet: Any, **added: Any) -> Tensor:
    noise: Tensor = unet(
        _latents(pair),
        TIMESTEPS,
        encoder_hidden_states=pair.model.encode_prompts(PROMPTS).states,
        added_cond_kwargs={**_added(pair), **added},
    ).sample
    return noise


def _compare(pair: Pair, pipe: Any, scale: Scale, in_diffusers: Any) -> None:
    pipe.set_ip_adapter_scale(in_diffusers)
    features = pair.features(3)
    expected = _stock(pair, pipe.unet, image_embeds=[features[:, None]])
    assert_same(_own(pair, [features], scale), expected)
    assert float((_own(pair, [features.flip(0)], scale) - expected).abs().max()) > 1e-3, "features must matter"


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_one_scale_for_all(pair: Pair, unet: Any, scale: float) -> None:
    _compare(pair, unet, scale, scale)


@pytest.mark.parametrize(
    ("scale", "in_diffusers"),
    [
        ({"mid_block": 0.4}, {"mid": 0.4}),
        ({"down_blocks.1": 0.7, "mid_block": 0.4}, {"down": {"block_1": 0.7}, "mid": 0.4}),
        ({"up_blocks.1.attentions.0": 1.3, "up_blocks.0": 0.5}, "first of up 1, all of up 0"),
    ],
)
def test_scales_of_blocks(pair: Pair, unet: Any, scale: dict[str, float], in_diffusers: Any) -> None:
    if isinstance(in_diffusers, str):
        rest = [0.0] * (len(pair.model.unet.up_blocks[1].attentions) - 1)
        in_diffusers = {"up": {"block_0": 0.5, "block_1": [1.3, *rest]}}
    _compare(pair, unet, scale, in_diffusers)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_of_sdxl(sdxl_pair: Pair, preset: str) -> None:
    scale = block_scales(1.0, preset, sdxl_pair.model.BLOCKS)
    _compare(sdxl_pair, sdxl_pair.pipeline(), scale, PRESETS[preset])


def test_named_target_blocks_share_one_scale(sdxl_pair: Pair) -> None:
    scale = block_scales(0.8, ["up_blocks.0.attentions.1", "mid_block"], sdxl_pair.model.BLOCKS)
    _compare(sdxl_pair, sdxl_pair.pipeline(), scale, {"up": {"block_0": [0.0, 0.8, 0.0]}, "mid": 0.8})


def test_scale_zero_is_the_unet_without_adapter(pair: Pair) -> None:
    plain = UNet2DConditionModel.from_pretrained(pair.folder / "unet").double()
    assert_same(_own(pair, [pair.features(3)], 0.0), _stock(pair, plain))


@pytest.mark.parametrize("shares", [(0.3, 0.7), (0.25, 0.25, 0.5)])
def test_sets_of_tokens_are_the_adapter_loaded_as_often(pair: Pair, shares: tuple[float, ...]) -> None:
    pipe = pair.pipeline(adapters=len(shares))
    pipe.set_ip_adapter_scale([0.8 * share for share in shares])
    sets = [pair.features(3, seed) for seed, _ in enumerate(shares)]
    expected = _stock(pair, pipe.unet, image_embeds=[each[:, None] for each in sets])
    assert_same(_own(pair, sets, 0.8, shares), expected)


def test_sets_of_tokens_within_blocks(sdxl_pair: Pair) -> None:
    pipe = sdxl_pair.pipeline(adapters=2)
    pipe.set_ip_adapter_scale([{"up": {"block_0": [0.0, share, 0.0]}} for share in (0.3, 0.7)])
    sets = [sdxl_pair.features(3, seed) for seed in (0, 1)]
    expected = _stock(sdxl_pair, pipe.unet, image_embeds=[each[:, None] for each in sets])
    scale = block_scales(1.0, "style", sdxl_pair.model.BLOCKS)
    assert_same(_own(sdxl_pair, sets, scale, (0.3, 0.7)), expected)


def test_equal_references_are_one(pair: Pair) -> None:
    features = pair.features(3)
    assert_same(_own(pair, [features] * 3, 0.8, [1 / 3] * 3), _own(pair, [features], 0.8))


def test_a_share_of_nothing_is_no_reference(pair: Pair) -> None:
    first, second = pair.features(3, 0), pair.features(3, 1)
    assert_same(_own(pair, [first, second], 0.8, (1.0, 0.0)), _own(pair, [first], 0.8))
