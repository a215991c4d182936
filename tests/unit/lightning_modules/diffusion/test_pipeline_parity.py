"""Whole sampling must equal diffusers' stock pipelines with their own IP-Adapter: final latents and pictures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from lightning_modules.diffusion.config import MicroConditioning, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import (
    STEPS,
    Pair,
    against_nothing,
    sampled_latents,
    stock_latents,
)

pytestmark = pytest.mark.usefixtures("float64")

PROMPTS = ["A rocket", "A bench"]
NEGATIVE = "low quality"
SEEDS = [42, 7]
SETTINGS = SamplingSettings("EulerDiscreteScheduler", steps=STEPS)


@pytest.fixture(scope="module")
def pipe(pair: Pair) -> Any:
    return _with_scheduler(pair.pipeline(), SETTINGS.scheduler)


def _with_scheduler(pipe: Any, name: str) -> Any:
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config)
    return pipe


def _own(pair: Pair, settings: SamplingSettings, *sets: Tensor, **options: Any) -> Tensor:
    """Both pictures in one batch."""
    text = pair.model.encode_prompts(PROMPTS)
    return sampled_latents(pair.model, settings, text, list(sets), SEEDS, **options)


def _stock(pipe: Any, *sets: Sequence[Tensor], **call: Any) -> Tensor:
    """The pictures one by one; a set has a `(2, dim)` for each picture."""
    rows = [
        stock_latents(pipe, prompt, [each[row] for each in sets], seed, **call)
        for row, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True))
    ]
    return torch.cat(rows)


def _plain(features: Tensor) -> list[Tensor]:
    return [against_nothing(feature) for feature in features]


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
@pytest.mark.parametrize("scheduler", ["UniPCMultistepScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
def test_schedulers_with_and_without_guidance(pair: Pair, scheduler: str, guidance_scale: float) -> None:
    pipe = _with_scheduler(pair.pipeline(), scheduler)
    features = pair.features(2)
    settings = replace(SETTINGS, scheduler=scheduler, guidance_scale=guidance_scale)
    assert_same(_own(pair, settings, features), _stock(pipe, _plain(features), guidance_scale=guidance_scale))


@pytest.mark.parametrize("negative_prompt", [None, "", NEGATIVE])
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
    pipe = _with_scheduler(sdxl_pair.pipeline(), SETTINGS.scheduler)
    features = sdxl_pair.features(2)
    settings = replace(SETTINGS, height=24, width=32, micro_conditioning=MicroConditioning(**micro))
    latents = _own(sdxl_pair, settings, features)
    assert_same(latents, _stock(pipe, _plain(features), height=24, width=32, **in_diffusers))
    usual = _own(sdxl_pair, replace(settings, micro_conditioning=MicroConditioning()), features)
    assert float((latents - usual).abs().max()) > 1e-3, "the sizes must matter"


def test_target_blocks(sdxl_pair: Pair) -> None:
    pipe = _with_scheduler(sdxl_pair.pipeline(), SETTINGS.scheduler)
    pipe.set_ip_adapter_scale({"up": {"block_0": [0.0, 0.9, 0.0]}})
    features = sdxl_pair.features(2)
    latents = _own(sdxl_pair, replace(SETTINGS, target_blocks="style", scale=0.9), features)
    assert_same(latents, _stock(pipe, _plain(features)))


def test_two_references_are_the_adapter_twice(pair: Pair) -> None:
    pipe = _with_scheduler(pair.pipeline(adapters=2), SETTINGS.scheduler)
    pipe.set_ip_adapter_scale([0.3, 0.7])
    first, second = pair.features(2, 0), pair.features(2, 1)
    latents = _own(pair, SETTINGS, first, second, shares=(0.3, 0.7))
    assert_same(latents, _stock(pipe, _plain(first), _plain(second)))


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
