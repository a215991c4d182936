"""Whole sampling must equal diffusers' stock pipelines with their own IP-Adapter: final latents and pictures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from lightning_modules.diffusion.config import MicroConditioning, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion import stock
from tests.unit.lightning_modules.diffusion.stock import PROMPTS, SEEDS, STEPS, Pair, against_nothing

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings("EulerDiscreteScheduler", steps=STEPS)


@pytest.fixture(scope="module")
def pipe(pair: Pair) -> Any:
    return _pipeline(pair)


def _pipeline(pair: Pair, scheduler: str = SETTINGS.scheduler, adapters: int = 1) -> Any:
    pipe = pair.pipeline(adapters)
    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    return pipe


def _own(pair: Pair, settings: SamplingSettings, *sets: Tensor, **options: Any) -> Tensor:
    """Both pictures in one batch."""
    text = pair.model.encode_prompts(PROMPTS)
    return stock.sampled_latents(pair.model, settings, text, list(sets), SEEDS, **options)


def _stock(pipe: Any, *sets: Sequence[Tensor], **call: Any) -> Tensor:
    """The pictures one by one; a set has a `(2, dim)` for each picture."""
    rows = [
        stock.stock_latents(pipe, prompt, [each[row] for each in sets], seed, **call)
        for row, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True))
    ]
    return torch.cat(rows)


def _plain(features: Tensor) -> list[Tensor]:
    return [against_nothing(feature) for feature in features]


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
@pytest.mark.parametrize("scheduler", ["UniPCMultistepScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
def test_schedulers_with_and_without_guidance(pair: Pair, scheduler: str, guidance_scale: float) -> None:
    pipe = _pipeline(pair, scheduler)
    features = pair.features(2)
    settings = replace(SETTINGS, scheduler=scheduler, guidance_scale=guidance_scale)
    assert_same(_own(pair, settings, features), _stock(pipe, _plain(features), guidance_scale=guidance_scale))


@pytest.mark.parametrize("negative_prompt", [None, "", "low quality"])
def test_negative_prompts(pair: Pair, pipe: Any, negative_prompt: str | None) -> None:
    features = pair.features(2)
    latents = _own(pair, replace(SETTINGS, negative_prompt=negative_prompt), features)
    assert_same(latents, _stock(pipe, _plain(features), negative_prompt=negative_prompt))


def test_without_a_negative_prompt_sdxl_takes_zeros(sdxl_pair: Pair) -> None:
    zeros, empty = sdxl_pair.model.unconditional_text(None), sdxl_pair.model.unconditional_text("")
    assert not any(part.any() for part in zeros) and all(part.any() for part in empty)
    assert [part.shape for part in zeros] == [part.shape for part in empty]


@pytest.mark.parametrize(("height", "width"), [(24, 32), (8, 16)])
def test_other_sizes(pair: Pair, pipe: Any, height: int, width: int) -> None:
    features = pair.features(2)
    latents = _own(pair, replace(SETTINGS, height=height, width=width), features)
    assert latents.shape == (2, 4, height // 2, width // 2)
    assert_same(latents, _stock(pipe, _plain(features), height=height, width=width))


_SIZES: dict[str, tuple[int, int]] = {"original_size": (64, 48), "target_size": (24, 20)}
_NEGATIVE_SIZES: dict[str, tuple[int, int]] = {"negative_original_size": (8, 9), "negative_target_size": (30, 31)}


@pytest.mark.parametrize(
    ("micro", "in_diffusers"),
    [
        (_SIZES, _SIZES),
        (_NEGATIVE_SIZES, _NEGATIVE_SIZES),
        ({"crop_top_left": (3, 5)}, {"crops_coords_top_left": (3, 5)}),
        (
            {**_SIZES, **_NEGATIVE_SIZES, "crop_top_left": (3, 5), "negative_crop_top_left": (0, 7)},
            {**_SIZES, **_NEGATIVE_SIZES, "crops_coords_top_left": (3, 5), "negative_crops_coords_top_left": (0, 7)},
        ),
    ],
)
def test_micro_conditioning_of_sdxl(sdxl_pair: Pair, micro: dict[str, Any], in_diffusers: dict[str, Any]) -> None:
    pipe, features = _pipeline(sdxl_pair), sdxl_pair.features(2)
    settings = replace(SETTINGS, height=24, width=32, micro_conditioning=MicroConditioning(**micro))
    latents = _own(sdxl_pair, settings, features)
    assert_same(latents, _stock(pipe, _plain(features), height=24, width=32, **in_diffusers))
    usual = _own(sdxl_pair, replace(settings, micro_conditioning=MicroConditioning()), features)
    assert float((latents - usual).abs().max()) > 1e-3, "the sizes must matter"


def _compare_scales(pair: Pair, pipe: Any, scales: dict[str, Any], in_diffusers: Any) -> None:
    pipe.set_ip_adapter_scale(in_diffusers)
    settings, features = replace(SETTINGS, steps=1, **scales), pair.features(2)
    latents = _own(pair, settings, features)
    assert_same(latents, _stock(pipe, _plain(features), num_inference_steps=1))
    assert float((_own(pair, settings, features.flip(0)) - latents).abs().max()) > 1e-3, "features must matter"


@pytest.mark.parametrize(
    ("scale", "in_diffusers"),
    [
        (0.6, 0.6),
        ({"mid_block": 0.4}, {"mid": 0.4}),
        ({"down_blocks.1": 0.7, "mid_block": 0.4}, {"down": {"block_1": 0.7}, "mid": 0.4}),
        ({"up_blocks.1.attentions.0": 1.3, "up_blocks.0": 0.5}, {"up": {"block_0": 0.5, "block_1": [1.3]}}),
    ],
)
def test_scales_of_blocks(pair: Pair, scale: Any, in_diffusers: Any) -> None:
    if isinstance(in_diffusers, dict) and "up" in in_diffusers:
        rest = [0.0] * (len(pair.model.unet.up_blocks[1].attentions) - 1)
        in_diffusers = {"up": {"block_0": 0.5, "block_1": [1.3, *rest]}}
    _compare_scales(pair, _pipeline(pair), {"scale": scale}, in_diffusers)


@pytest.mark.parametrize(
    ("target_blocks", "in_diffusers"),
    [
        ("style", {"up": {"block_0": [0.0, 0.9, 0.0]}}),
        ("style_layout", {"up": {"block_0": [0.0, 0.9, 0.0]}, "down": {"block_2": [0.0, 0.9]}}),
        (["up_blocks.0.attentions.1", "mid_block"], {"up": {"block_0": [0.0, 0.9, 0.0]}, "mid": 0.9}),
    ],
)
def test_target_blocks_of_sdxl(sdxl_pair: Pair, target_blocks: Any, in_diffusers: Any) -> None:
    scales = {"scale": 0.9, "target_blocks": target_blocks}
    _compare_scales(sdxl_pair, _pipeline(sdxl_pair), scales, in_diffusers)


def test_scale_zero_is_the_pipeline_without_adapter(pair: Pair, pipe: Any) -> None:
    plain = DiffusionPipeline.from_pretrained(pair.folder, torch_dtype=torch.float64)
    plain.set_progress_bar_config(disable=True)
    plain.scheduler, generator = pipe.scheduler, torch.Generator().manual_seed(SEEDS[0])
    noise = torch.randn(1, *pair.model.latent_shape, generator=generator).double()
    call = {"num_inference_steps": STEPS, "guidance_scale": 7.5, "output_type": "latent"}
    expected = plain(PROMPTS[0], latents=noise, **call).images
    assert_same(_own(pair, replace(SETTINGS, scale=0.0), pair.features(2))[:1], expected)


@pytest.mark.parametrize("shares", [(0.3, 0.7), (0.25, 0.25, 0.5)])
def test_references_are_the_adapter_loaded_as_often(pair: Pair, shares: tuple[float, ...]) -> None:
    pipe = _pipeline(pair, adapters=len(shares))
    pipe.set_ip_adapter_scale([0.8 * share for share in shares])
    sets = [pair.features(2, seed) for seed, _ in enumerate(shares)]
    assert_same(_own(pair, replace(SETTINGS, scale=0.8), *sets, shares=shares), _stock(pipe, *map(_plain, sets)))


def test_references_within_blocks(sdxl_pair: Pair) -> None:
    pipe = _pipeline(sdxl_pair, adapters=2)
    pipe.set_ip_adapter_scale([{"up": {"block_0": [0.0, share, 0.0]}} for share in (0.3, 0.7)])
    sets = [sdxl_pair.features(2, seed) for seed in (0, 1)]
    latents = _own(sdxl_pair, replace(SETTINGS, target_blocks="style"), *sets, shares=(0.3, 0.7))
    assert_same(latents, _stock(pipe, *map(_plain, sets)))


def test_negative_references_are_the_unconditional_half(pair: Pair, pipe: Any) -> None:
    features, negative = pair.features(2, 0), pair.features(2, 1)
    expected = _stock(pipe, [torch.stack(rows) for rows in zip(negative, features, strict=True)])
    assert_same(_own(pair, SETTINGS, features, negative_features=negative), expected)
    shared = _own(pair, SETTINGS, features, negative_features=negative[:1])
    assert_same(shared[:1], expected[:1])


@torch.no_grad()
def test_pictures(pair: Pair, pipe: Any) -> None:
    features = pair.features(2)
    images = sample(pair.model, SETTINGS, pair.model.encode_prompts(PROMPTS), features, SEEDS)
    assert_same(images, _stock(pipe, _plain(features), output_type="pt"))
