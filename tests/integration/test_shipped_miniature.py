"""The trained weights that the project ships: mixed batches, and diffusers' own pipeline reading the same folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.miniature.generate import draw
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import MINIATURE, Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import initial_noise, sample
from lightning_modules.diffusion.schedulers import build_scheduler
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.float64 import assert_same

PAIRS = [
    ("cat", "statue"),
    ("truck", "pop art"),
    ("dog", "tattoo"),
    ("frog", "line art"),
    ("ship", "steampunk"),
    ("deer", "wool toy"),
    ("bird", "lego toy"),
    ("horse", "stick figure"),
]
pytestmark = pytest.mark.usefixtures("float64")
SETTINGS = SamplingSettings(steps=20, guidance_scale=4.0)
SEEDS = list(range(len(PAIRS)))


@pytest.fixture(scope="module")
def model() -> StableDiffusion:
    return StableDiffusion.load(Backbone()).double()


@pytest.fixture(scope="module")
def features(model: StableDiffusion) -> Tensor:
    images = model.encode_images([draw(content, style, 99) for content, style in PAIRS])
    feature: Tensor = Masking()(images, model.encode_contents([content for content, _ in PAIRS])).feature
    return feature


@pytest.fixture
def batch(model: StableDiffusion, features: Tensor) -> Tensor:
    text = model.encode_prompts(["A rocket"]).expand(len(PAIRS))
    return sample(model, SETTINGS, text, features, SEEDS)


def test_a_reference_alone_gives_the_same_picture_as_among_eight(
    model: StableDiffusion, features: Tensor, batch: Tensor
) -> None:
    text = model.encode_prompts(["A rocket"])
    for row in SEEDS[::3]:
        alone = sample(model, SETTINGS, text, features[row : row + 1], [row])
        assert_same(alone, batch[row : row + 1])


def test_diffusers_own_pipeline_draws_the_same_from_the_same_folder(
    model: StableDiffusion, features: Tensor, batch: Tensor
) -> None:
    pipe = _pipeline(MINIATURE)
    for row in SEEDS[::3]:
        noise = initial_noise([torch.Generator().manual_seed(row)], model.latent_shape).double()
        embeds = torch.stack([torch.zeros_like(features[row]), features[row]])[:, None]
        picture = pipe(
            "A rocket",
            ip_adapter_image_embeds=[embeds],
            latents=noise,
            num_inference_steps=SETTINGS.steps,
            guidance_scale=SETTINGS.guidance_scale,
            output_type="pt",
        ).images
        assert_same(picture, batch[row : row + 1])


def _pipeline(folder: Path) -> Any:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float64)
    pipe.load_ip_adapter(folder, subfolder="", weight_name="ip_adapter.safetensors", image_encoder_folder=None)
    pipe.to(torch.float64)
    pipe.scheduler = build_scheduler(SETTINGS.scheduler, pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe
