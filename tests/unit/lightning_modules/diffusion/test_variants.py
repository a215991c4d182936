"""Variants of the models' configurations: drawn as diffusers' pipelines draw them, or refused by name."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.float64 import ONCE_ROUNDED, assert_same
from tests.tiny import randomised
from tests.unit.lightning_modules.diffusion.stock import load_exact, variant

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings("DDIMScheduler", steps=4, guidance_scale=3.0)
MEANS = {"latents_mean": [0.1, -0.2, 0.3, 0.4], "latents_std": [1.5, 0.8, 2.0, 0.7]}


@pytest.fixture(params=["sd15", "sdxl"])
def backbone(request: pytest.FixtureRequest, tiny_backbone: Backbone, tiny_sdxl: Backbone) -> Backbone:
    return tiny_backbone if request.param == "sd15" else tiny_sdxl


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_what_the_model_predicts(backbone: Backbone, tmp_path: Path, kind: str) -> None:
    exact = load_exact(variant(backbone, tmp_path / "a", "scheduler", {"prediction_type": kind}))
    for scheduler in ("DDIMScheduler", "UniPCMultistepScheduler"):
        settings = replace(SETTINGS, scheduler=scheduler)
        assert_same(exact.own(settings), exact.stock(settings))


@pytest.mark.parametrize(("kind", "factors"), [("epsilon", (0, 1)), ("sample", (1, 0)), ("v_prediction", None)])
def test_what_the_model_is_trained_for(tiny_backbone: Backbone, tmp_path: Path, kind: str, factors: Any) -> None:
    model = StableDiffusion.load(variant(tiny_backbone, tmp_path / "a", "scheduler", {"prediction_type": kind}))
    latents, noise = torch.randn(2, 2, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([3, 800])
    alpha = model.training_scheduler.alphas_cumprod[steps].double().view(2, 1, 1, 1)
    of_latents, of_noise = factors or (-(1 - alpha).sqrt(), alpha.sqrt())
    assert_same(model.target(latents, noise, steps), of_latents * latents + of_noise * noise)


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_a_unet_that_embeds_its_guidance(backbone: Backbone, tmp_path: Path, guidance_scale: float) -> None:
    folder = variant(backbone, tmp_path / "a", "unet", {"time_cond_proj_dim": 6}).model
    torch.manual_seed(0)
    unet = randomised(UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(f"{folder}/unet")))
    unet.save_pretrained(f"{folder}/unet")
    exact = load_exact(Backbone(folder))
    settings = replace(SETTINGS, scheduler="LCMScheduler", guidance_scale=guidance_scale, negative_prompt="low quality")
    own = exact.own(settings)
    assert_same(own, exact.stock(settings, negative_prompt="low quality"))
    assert float((own - exact.own(replace(settings, guidance_scale=3.0))).abs().max()) > 1e-3


def test_latents_with_mean_and_spread(tiny_sdxl: Backbone, tmp_path: Path) -> None:
    exact = load_exact(variant(tiny_sdxl, tmp_path / "a", "vae", MEANS))
    assert_same(exact.own(SETTINGS, decoded=True), exact.stock(SETTINGS, decoded=True))
    image = Image.new("RGB", (16, 16), (255, 0, 255))
    pixels = exact.pipe.image_processor.preprocess(image).double()
    mean, std = (torch.tensor(MEANS[name]).view(4, 1, 1).double() for name in ("latents_mean", "latents_std"))
    latents = (exact.pipe.vae.encode(pixels).latent_dist.mean - mean) * exact.pipe.vae.config.scaling_factor / std
    assert_same(exact.pair.model.encode_latents([image]).mean, latents, ONCE_ROUNDED)


@pytest.mark.parametrize("sides", [[8, 8], [8, 12]])
def test_the_size_of_the_model_may_be_two_numbers(tiny_backbone: Backbone, tmp_path: Path, sides: list[int]) -> None:
    exact = load_exact(variant(tiny_backbone, tmp_path / "a", "unet", {"sample_size": sides}))
    own = exact.own(SETTINGS)
    assert list(own.shape[2:]) == sides
    assert_same(own, exact.stock(SETTINGS))
    latents = exact.pair.model.encode_latents([Image.new("RGB", (30, 20))]).mean
    assert list(latents.shape[2:]) == sides


UNET: list[tuple[Mapping[str, Any], str]] = [
    ({"in_channels": 9}, "`in_channels` to 9, .* expected 4"),
    ({"out_channels": 8}, "`out_channels` to 8"),
    ({"class_embed_type": "timestep"}, "`class_embed_type` to 'timestep'"),
    ({"num_class_embeds": 10}, "`num_class_embeds` to 10"),
    ({"addition_embed_type": "image"}, "`addition_embed_type` to 'image'"),
    ({"encoder_hid_dim": 24, "encoder_hid_dim_type": "text_proj"}, "`encoder_hid_dim` to 24"),
    ({"attention_type": "gated"}, "`attention_type` to 'gated'"),
    ({"dual_cross_attention": True}, "`dual_cross_attention` to True"),
    ({"only_cross_attention": [True, False]}, "`only_cross_attention` to"),
    ({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, "`mid_block_type` to"),
    ({"sample_size": None}, "`sample_size` to None"),
    ({"cross_attention_dim": [24, 24]}, "`cross_attention_dim` to"),
]


@pytest.mark.parametrize(("changes", "message"), UNET)
def test_a_unet_with_other_inputs_is_refused(
    tiny_backbone: Backbone, tmp_path: Path, changes: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"`model`: unet/config.json sets {message}"):
        StableDiffusion.load(variant(tiny_backbone, tmp_path / "a", "unet", changes))


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("unet", {"addition_embed_type": None}, "`addition_embed_type` to None, .* expected text_time"),
        ("unet", {"projection_class_embeddings_input_dim": 48}, "`projection_class_embeddings_input_dim` to 48"),
        ("vae", {"latents_mean": [0.0] * 4}, "`latents_mean` to"),
        ("vae", {"latents_mean": [0.0] * 3, "latents_std": [1.0] * 3}, "`latents_mean` to"),
        ("vae", {"shift_factor": 0.1}, "`shift_factor` to 0.1"),
        ("vae", {"_class_name": "AutoencoderTiny"}, "`_class_name` to 'AutoencoderTiny'"),
        ("model_index.json", {"requires_aesthetics_score": True}, "sets `requires_aesthetics_score`"),
        ("model_index.json", {"text_encoder": ["transformers", "T5EncoderModel"]}, "`text_encoder` to 'T5"),
        ("model_index.json", {"controlnet": ["diffusers", "ControlNetModel"]}, "`controlnet` to 'ControlNetModel'"),
    ],
)
def test_what_is_not_understood_of_sdxl_is_refused(
    tiny_sdxl: Backbone, tmp_path: Path, part: str, changes: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StableDiffusion.load(variant(tiny_sdxl, tmp_path / "a", part, changes))


def test_diffusers_ignores_the_means_of_the_first_family(tiny_backbone: Backbone, tmp_path: Path) -> None:
    backbone = variant(tiny_backbone, tmp_path / "a", "vae", MEANS)
    with pytest.raises(ValueError, match="`model`: .* sets `latents_mean` .* pipeline of Stable Diffusion 1 and 2"):
        StableDiffusion.load(backbone)
    shutil.rmtree(tmp_path / "a" / "vae")
    shutil.copytree(Path(tiny_backbone.model) / "vae", tmp_path / "a" / "vae")
    other = variant(tiny_backbone, tmp_path / "b", "vae", {"shift_factor": 1.0})
    with pytest.raises(ValueError, match="`vae`: .* `shift_factor`"):
        StableDiffusion.load(replace(backbone, vae=f"{other.model}/vae"))
