"""The frozen networks behind their door, against diffusers used by hand."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from lightning_modules.diffusion import encoders
from lightning_modules.diffusion.stable_diffusion import StableDiffusion, StableDiffusionXL
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

SCALING = {StableDiffusion: 0.18215, StableDiffusionXL: 0.13025}


def _square_images(model: StableDiffusion, rows: int) -> tuple[list[Image.Image], torch.Tensor]:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 16, 16, 3), dtype=np.uint8)
    return [Image.fromarray(row) for row in pixels], (torch.tensor(pixels).permute(0, 3, 1, 2) / 127.5 - 1).double()


def test_sizes(pair: Pair) -> None:
    model = pair.model
    assert model.latent_shape == (4, 8, 8) and model.image_size == (16, 16)
    assert model.latent_shape_of(24, 32) == (4, 12, 16)
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize("size", [(15, 16), (16, 17), (0, 16)])
def test_impossible_sizes(model: StableDiffusion, size: tuple[int, int]) -> None:
    got = "{} x {}".format(*size)
    with pytest.raises(ValueError, match=rf"`height` and `width` must be multiples of 2, .* got {got}.* 16 x 16"):
        model.latent_shape_of(*size)


def test_the_class_is_that_of_the_pipeline(model: StableDiffusion, sdxl: StableDiffusion) -> None:
    assert type(model) is StableDiffusion and type(sdxl) is StableDiffusionXL


def test_conditions_of_both_halves(sdxl: StableDiffusion) -> None:
    text, tokens = sdxl.encode_prompts(["a", "dog"]), torch.randn(2, 4, 40)
    first = sdxl.conditions(text, [tokens, -tokens], [1, 2, 3, 4, 5, 6])
    both = first.joined(sdxl.conditions(text, [2 * tokens, 3 * tokens]))
    assert both.text_states.shape == (4, 32, 40)
    assert all(map(torch.equal, both.image_tokens, [torch.cat([tokens, 2 * tokens]), torch.cat([-tokens, 3 * tokens])]))
    assert both.added["time_ids"].tolist() == [[1, 2, 3, 4, 5, 6]] * 2 + [[16, 16, 0, 0, 16, 16]] * 2
    assert torch.equal(both.added["text_embeds"], torch.cat([text.pooled] * 2))
    half = both.to(torch.bfloat16)
    assert {part.dtype for part in (half.text_states, *half.image_tokens, *half.added.values())} == {torch.bfloat16}


@torch.no_grad()
def test_latents_are_scaled_moments(pair: Pair) -> None:
    model, factor = pair.model, SCALING[type(pair.model)]
    images, pixels = _square_images(model, 3)
    distribution = model.vae.encode(pixels).latent_dist
    moments = model.encode_latents(images)
    assert_same(moments.mean, distribution.mean * factor)
    assert_same(moments.std, distribution.std * factor)


def test_images_are_fitted_by_their_centre(model: StableDiffusion) -> None:
    images, _ = _square_images(model, 1)
    framed = Image.new("RGB", (36, 16))
    framed.paste(images[0], (10, 0))
    assert_same(model.encode_latents([framed]).mean, model.encode_latents(images).mean)


@torch.no_grad()
def test_decode_is_the_vae_in_unit_range(pair: Pair) -> None:
    model, factor = pair.model, SCALING[type(pair.model)]
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (model.vae.decode(latents / factor).sample / 2 + 0.5).clamp(0, 1)
    assert_same(model.decode(latents), expected)


@torch.no_grad()
def test_vae_in_chunks_is_the_same(model: StableDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = _square_images(model, 3)
    latents, moments = model.decode(torch.ones(3, 4, 8, 8)), model.encode_latents(images)
    monkeypatch.setattr(encoders, "_VAE_PIXELS", 2 * 16 * 16)
    assert_same(model.decode(torch.ones(3, 4, 8, 8)), latents)
    assert_same(model.encode_latents(images).mean, moments.mean)


def test_add_noise_is_the_forward_process(model: StableDiffusion) -> None:
    (x0, eps), steps = torch.randn(2, 2, 4, 8, 8, dtype=torch.float64), torch.tensor([0, 999])
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = (1 - betas).cumprod(0)[steps].double().view(2, 1, 1, 1)
    assert_same(model.add_noise(x0, eps, steps), kept.sqrt() * x0 + (1 - kept).sqrt() * eps)
    assert isinstance(model.training_scheduler, DDPMScheduler)


def test_all_is_frozen_and_gradients_pass_through(pair: Pair) -> None:
    model = pair.model
    model.train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    feature = pair.features(2).requires_grad_()
    conditions = model.conditions(model.encode_prompts(["a", "dog"]), [model.project(feature)])
    model.predict_noise(torch.randn(2, 4, 8, 8), torch.tensor([3, 500]), conditions).square().mean().backward()
    assert feature.grad is not None and float(feature.grad.abs().min(dim=1).values.max()) > 0
    assert all(parameter.grad is None for parameter in model.parameters())
