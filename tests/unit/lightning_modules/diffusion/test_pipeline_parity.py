"""Sampling must equal diffusers' StableDiffusionPipeline with its own IP-Adapter loader."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import StableDiffusionPipeline, UniPCMultistepScheduler
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion

PROMPTS = ["A rocket", "A bench"]
NEGATIVE = "low quality"
SEEDS = [42, 7]
BLOCKS = {"down_blocks.1": 0.7, "up_blocks.0.attentions.1": 1.3, "mid_block": 0.4}
BLOCKS_IN_DIFFUSERS = {"down": {"block_1": 0.7}, "up": {"block_0": [0.0, 1.3]}, "mid": 0.4}


@pytest.fixture(scope="module")
def pipeline(tiny_backbone: Backbone) -> Any:
    folder = Path(tiny_backbone.model)
    pipe = StableDiffusionPipeline.from_pretrained(folder, feature_extractor=CLIPImageProcessorPil())
    weights = torch.load(folder / "ip_adapter.bin", weights_only=True)
    pipe.load_ip_adapter(weights, subfolder=None, weight_name=None, image_encoder_folder=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _reference(pipe: Any, features: Tensor, guidance_scale: float) -> Tensor:
    """Row by row: given several references in one call, the pipeline gives each row all of them."""
    rows = [
        _one_picture(pipe, prompt, feature, seed, guidance_scale)
        for prompt, feature, seed in zip(PROMPTS, features, SEEDS, strict=True)
    ]
    return torch.cat(rows)


def _one_picture(pipe: Any, prompt: str, feature: Tensor, seed: int, guidance_scale: float) -> Tensor:
    embeds = feature[None, None]
    if guidance_scale > 1:
        embeds = torch.cat([torch.zeros_like(embeds), embeds])
    images: Tensor = pipe(
        prompt,
        negative_prompt=NEGATIVE,
        ip_adapter_image_embeds=[embeds],
        latents=torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)),
        guidance_scale=guidance_scale,
        num_inference_steps=5,
        output_type="pt",
    ).images
    return images


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
@pytest.mark.parametrize("scheduler", ["UniPCMultistepScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
def test_equal_to_the_pipeline(model: StableDiffusion, pipeline: Any, scheduler: str, guidance_scale: float) -> None:
    features = torch.randn(2, 20, generator=torch.Generator().manual_seed(5))
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_ip_adapter_scale(1.0)
    settings = SamplingSettings(scheduler, steps=5, guidance_scale=guidance_scale, negative_prompt=NEGATIVE)
    images = sample(model, settings, model.encode_prompts(PROMPTS), features, SEEDS)
    torch.testing.assert_close(images, _reference(pipeline, features, guidance_scale), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale, in_diffusers", [(0.6, 0.6), (BLOCKS, BLOCKS_IN_DIFFUSERS)])
def test_scales_equal_those_of_the_pipeline(
    model: StableDiffusion, pipeline: Any, scale: float | dict[str, float], in_diffusers: Any
) -> None:
    features = torch.randn(2, 20, generator=torch.Generator().manual_seed(5))
    pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_ip_adapter_scale(in_diffusers)
    settings = SamplingSettings(steps=5, negative_prompt=NEGATIVE, scale=scale)
    images = sample(model, settings, model.encode_prompts(PROMPTS), features, SEEDS)
    torch.testing.assert_close(images, _reference(pipeline, features, 7.5), atol=1e-4, rtol=0)
