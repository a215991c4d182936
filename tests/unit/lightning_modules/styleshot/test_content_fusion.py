"""Pictures that follow a content image: equal to diffusers' ControlNet pipeline, in the content image's size."""

import json
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, UniPCMultistepScheduler
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from PIL import Image
from torch import Tensor

from datamodules.batches import Job, JobBatch, Reference
from lightning_modules.conditions import Masking, StyleShot
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import initial_noise, sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.style_transfer import StyleTransfer
from lightning_modules.styleshot.detectors import ContourDetector, drawn_size, map_pixels, resized
from tests.float64 import assert_same
from tests.styleshot import write_styleshot
from tests.tiny import randomised
from tests.unit.lightning_modules.diffusion.stock import sampled_latents
from tests.unit.lightning_modules.styleshot.test_weights import UNET, ip_bin

pytestmark = pytest.mark.usefixtures("float64")

IMAGES = [Image.effect_noise((40, 30), 90).convert("RGB"), Image.new("RGB", (20, 50), (200, 40, 10))]
SETTINGS = SamplingSettings(steps=3, guidance_scale=3.0, negative_prompt="low quality", content_scale=0.7)
MAPS = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)).double()
STYLE = Reference(0, "toy/a", "dog", "toy", "d0")


@pytest.fixture(scope="module")
def backbone(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """The tiny Stable Diffusion with a random StyleShot whose ControlNet has an effect."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        controlnet = randomised(ControlNetModel.from_unet(UNET, conditioning_embedding_out_channels=(4, 8)))
    styleshot = write_styleshot(tmp_path_factory.mktemp("fusion"), tiny_backbone)
    file, weights = str(styleshot.ip_adapter), controlnet.state_dict().items()
    torch.save(torch.load(file) | {f"controlnet.{key}": tensor for key, tensor in weights}, file)
    return replace(styleshot, content_fusion=True)


@pytest.fixture(scope="module")
def model(backbone: Backbone) -> StableDiffusion:
    return StableDiffusion.load(backbone).double()


def stock_latents(model: Any, prompt: str, feature: Tensor, seed: int, lines: Tensor) -> Tensor:
    """What diffusers' own loop makes of the same weights; its ControlNet is given the style in place of the text."""
    unet = deepcopy(model.unet)
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([deepcopy(model.image_projection)])
    unet.register_to_config(encoder_hid_dim_type="ip_image_proj")
    pipe: Any = StableDiffusionControlNetPipeline(
        vae=model.vae,
        text_encoder=model.prompt_encoder.model,
        tokenizer=model.prompt_encoder.tokenizer,
        unet=unet,
        controlnet=model.controlnet,
        scheduler=UniPCMultistepScheduler.from_config(model.scheduler_config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    both = torch.cat([torch.zeros_like(feature), feature])
    noise = initial_noise([torch.Generator().manual_seed(seed)], model.latent_shape_of(*lines.shape[2:]))
    tokens = model.project(both)
    original = model.controlnet.forward
    model.controlnet.forward = lambda *args, encoder_hidden_states, **kwargs: original(
        *args, encoder_hidden_states=tokens, **kwargs
    )
    try:
        return pipe(
            prompt_embeds=model.encode_prompts([prompt]).states,
            negative_prompt_embeds=model.encode_prompts(["low quality"]).states,
            image=lines,
            height=lines.shape[2],
            width=lines.shape[3],
            ip_adapter_image_embeds=[both[:, None]],
            num_inference_steps=SETTINGS.steps,
            guidance_scale=SETTINGS.guidance_scale,
            controlnet_conditioning_scale=SETTINGS.content_scale,
            latents=noise.double(),
            output_type="latent",
        ).images
    finally:
        model.controlnet.forward = original


@torch.no_grad()
def test_latents_equal_the_stock_pipelines(model: StableDiffusion) -> None:
    features, prompts = model.encode_images(IMAGES), ["A rocket", "A bench"]
    text = model.encode_prompts(prompts)
    ours = sampled_latents(model, SETTINGS, text, features, [1, 2], content_maps=MAPS)
    for row, prompt in enumerate(prompts):
        stock = stock_latents(model, prompt, features[row : row + 1], row + 1, MAPS[row : row + 1])
        assert_same(ours[row : row + 1], stock)
    plain = sampled_latents(model, replace(SETTINGS, height=16, width=24), text, features, [1, 2])
    assert float((ours - plain).abs().max()) > 1e-2  # the lines have an effect


@torch.no_grad()
def test_without_weight_the_lines_have_no_effect(model: StableDiffusion) -> None:
    text, features = model.encode_prompts(["A rocket"]), model.encode_images(IMAGES[:1])
    unheard = sample(model, replace(SETTINGS, content_scale=0.0), text, features, [1], content_maps=MAPS[:1])
    plain = sample(model, replace(SETTINGS, height=16, width=24), text, features, [1])
    assert_same(unheard, plain)


@torch.no_grad()
def test_several_references_reach_the_lines_by_their_weight(model: StableDiffusion) -> None:
    text, features = model.encode_prompts(["A rocket"]), model.encode_images(IMAGES)
    one, other = features[:1], features[1:]
    alone = sample(model, SETTINGS, text, one, [1], content_maps=MAPS[:1])
    same = sample(model, SETTINGS, text, [one, one], [1], shares=[0.3, 0.7], content_maps=MAPS[:1])
    mixed = sample(model, SETTINGS, text, [one, other], [1], shares=[0.3, 0.7], content_maps=MAPS[:1])
    assert_same(same, alone)
    assert float((mixed - alone).abs().max()) > 1e-3


def batch_of(sizes: list[tuple[int, int]]) -> JobBatch:
    """A picture for each content image of these sizes."""
    images, jobs = {STYLE.key: IMAGES[0]}, []
    for i, size in enumerate(sizes):
        content = Reference(i, f"content:{i}", "A rocket", "", f"{i}")
        images[content.key] = Image.effect_noise(size, 90).convert("RGB")
        jobs.append(Job(STYLE, "A rocket", 0, 42, content_image=content))
    return {"jobs": jobs, "images": images, "contents": [], "finished": 0}


def test_pictures_have_the_size_of_their_content_image(backbone: Backbone) -> None:
    module = StyleTransfer(Masking(), backbone, SETTINGS)
    module.configure_model()
    module.double()
    drawn: list[Image.Image] = []
    detect = module.generator.content_maps.detector.lines
    module.generator.content_maps.detector.lines = lambda pixels: (drawn.append(pixels), detect(pixels))[1]  # type: ignore[func-returns-value, method-assign]
    batch = batch_of([(25, 16), (25, 16)])
    first = module.generate(batch)
    assert first.images.shape == (2, 3, 16, 25)
    assert len(drawn) == 2
    alone = module.generate({"jobs": batch["jobs"][1:], "images": batch["images"], "contents": [], "finished": 0})
    assert_same(alone.images, first.images[1:])
    assert len(drawn) == 2, "each map is drawn once"
    module.use(module.condition, replace(SETTINGS, height=16, width=16))
    assert module.generate(batch).images.shape == (2, 3, 16, 16)


def test_the_detector_is_among_the_settings_where_it_decides(backbone: Backbone) -> None:
    followed = StyleTransfer(StyleShot(), backbone, SETTINGS).settings
    assert json.loads(json.dumps(followed))["detector"]["name"] == "edges"
    absent = ContourDetector(weights="no/such/file.pth")  # which is then not looked for
    plain = StyleTransfer(StyleShot(), replace(backbone, content_fusion=False), SETTINGS, detector=absent)
    assert "detector" not in plain.settings


def test_a_backbone_brings_its_detector_or_says_that_it_does_not(backbone: Backbone) -> None:
    with pytest.warns(UserWarning, match="`content_lines` of the backbone is not said, .* Name them, or give a `detec"):
        assert StyleTransfer(StyleShot(), backbone).generator.content_maps.detector.name == "edges"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for lines in ("edges", "contour", "lineart"):
            told = replace(backbone, content_lines=lines)  # type: ignore[arg-type]
            assert StyleTransfer(StyleShot(), told).generator.content_maps.detector.name == lines
        StyleTransfer(StyleShot(), backbone, detector=ContourDetector())
        StyleTransfer(StyleShot(), replace(backbone, content_fusion=False))
    with pytest.raises(ValueError, match="`content_lines` must be one of edges, contour, lineart, None; got 'lines'"):
        replace(backbone, content_lines="lines")  # type: ignore[arg-type]


def test_what_cannot_follow_content_images_says_so(backbone: Backbone, tiny_backbone: Backbone, tmp_path: Path) -> None:
    module = StyleTransfer(StyleShot(), replace(backbone, content_fusion=False), SETTINGS)
    module.configure_model()
    with pytest.raises(ValueError, match=r"`content_maps` .* not loaded.*content_fusion true"):
        module.generate(batch_of([(16, 16)]))
    with pytest.raises(ValueError, match=r"`content_fusion` is StyleShot's, but `style_encoder` names none"):
        replace(tiny_backbone, content_fusion=True)
    bare = write_styleshot(tmp_path, tiny_backbone)
    with pytest.raises(ValueError, match=r"`content_fusion` asks .* `ip_adapter` holds none"):
        StableDiffusion.load(replace(bare, content_fusion=True))
    torch.save(ip_bin(), tmp_path / "ip.bin")
    with pytest.raises(ValueError, match=r"`ip_adapter`: controlnet .* missing keys"):
        StableDiffusion.load(replace(backbone, ip_adapter=str(tmp_path / "ip.bin")))
    module = StyleTransfer(StyleShot(), backbone, SETTINGS)
    module.configure_model()
    text, features = module.model.encode_prompts(["a"]), module.model.encode_images(IMAGES[:1])
    with pytest.raises(ValueError, match=r"`content_maps` must have the size of the pictures, 16 x 16 .* 16 x 24"):
        sample(module.model, replace(SETTINGS, height=16, width=16), text, features, [1], content_maps=MAPS[:1])


def test_sizes_and_pixels_of_maps() -> None:
    assert drawn_size((501, 333), 8) == (504, 336)
    assert drawn_size((3, 1000), 8) == (8, 1000)
    lines = Image.new("L", (4, 2), 255)
    assert torch.equal(map_pixels(lines, (8, 4)), torch.ones(3, 4, 8))
    pictures = torch.rand(1, 3, 4, 8)
    assert resized(pictures, (8, 4)) is pictures
    assert resized(pictures, (7, 5)).shape == (1, 3, 5, 7)


def test_a_batch_of_pictures_that_cannot_be_drawn_together(backbone: Backbone) -> None:
    module = StyleTransfer(StyleShot(), backbone, SETTINGS)
    module.configure_model()
    with pytest.raises(ValueError, match=r"`content_image` must have one size .*\(16, 16\), \(24, 16\)"):
        module.generate(batch_of([(16, 16), (24, 16)]))
    batch = batch_of([(16, 16)])
    batch["jobs"] = [*batch["jobs"], Job(STYLE, "A bench", 0, 42)]
    with pytest.raises(ValueError, match=r"`content_maps` must have one row for each of the 2 pictures; got 1"):
        module.generate(batch)
