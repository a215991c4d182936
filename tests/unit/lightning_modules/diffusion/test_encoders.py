"""Texts and images to features, against transformers used by hand."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.encoders import GREY, framed, say_what_is_lost
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

TEXTS = ["A rocket", "frog", ""]
WIDE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8))


@torch.no_grad()
def test_prompts_are_last_hidden_states(model: StableDiffusion, tiny_backbone: Backbone) -> None:
    folder = Path(tiny_backbone.model)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").double().eval()
    ids = tokenizer(TEXTS, padding="max_length", max_length=32, return_tensors="pt").input_ids
    text = model.encode_prompts(TEXTS)
    assert text.states.shape == (3, 32, 24) and text.pooled.shape == (3, 0)
    assert_same(text.states, encoder(ids)[0])


@torch.no_grad()
def test_prompts_equal_those_of_the_pipeline(pair: Pair) -> None:
    encoded = pair.pipeline().encode_prompt(
        TEXTS,
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=["low quality"] * 3,
    )
    text, negative = pair.model.encode_prompts(TEXTS), pair.model.unconditional_text("low quality").expand(3)
    expected = encoded if len(encoded) == 4 else (*encoded, *(text.states.new_zeros(3, 0),) * 2)
    assert_same((text.states, negative.states, text.pooled, negative.pooled), tuple(expected))


def test_the_pooled_feature_of_sdxl_is_its_content_feature(sdxl: StableDiffusion) -> None:
    """Without a text tower of its own, an SDXL is asked once: the same network and tokens, padding with "!"."""
    assert sdxl.content_encoder is sdxl.prompt_encoder.second
    text = sdxl.encode_prompts(["frog", "oil painting"])
    assert text.states.shape == (2, 32, 40) and text.pooled.shape == (2, 28)
    assert_same(sdxl.encode_contents(["frog", "oil painting"]), text.pooled)
    ids = sdxl.content_encoder.token_ids(["frog"])
    assert ids[0, -1] == 0 and sdxl.prompt_encoder.first.token_ids(["frog"])[0, -1] != 0


@torch.no_grad()
def test_contents_are_text_embeds(model: StableDiffusion, tiny_backbone: Backbone) -> None:
    folder = Path(tiny_backbone.model, "text_tower")
    tower = CLIPTextModelWithProjection.from_pretrained(folder).double().eval()
    ids = CLIPTokenizer.from_pretrained(folder)(["frog"], return_tensors="pt").input_ids
    features = model.encode_contents(["a dog", "frog"])
    assert_same(features[1:], tower(ids).text_embeds)


@torch.no_grad()
def test_images_are_image_embeds(model: StableDiffusion, tiny_backbone: Backbone) -> None:
    encoder = CLIPVisionModelWithProjection.from_pretrained(Path(tiny_backbone.model, "image_encoder")).double().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    normalised = torch.tensor((pixels / 255 - mean) / std).permute(2, 0, 1)[None]
    features = model.encode_images([Image.fromarray(pixels)])
    # The processor computes in float32, element by element and thus on every machine alike.
    assert_same(features, encoder(normalised).image_embeds, 1e-5)


def test_rows_do_not_depend_on_their_batch(model: StableDiffusion, images: list[Image.Image]) -> None:
    assert_same(model.encode_images(images)[2:3], model.encode_images(images[2:3]))
    long = "a rocket in oil painting style"
    assert_same(model.encode_contents(["a", long])[:1], model.encode_contents(["a"]))


def test_a_cut_prompt_is_named_once(model: StableDiffusion) -> None:
    prompt = "a rocket " * 20
    with pytest.warns(UserWarning, match=rf"The prompt '{prompt}' has 42 tokens and was cut to the 32") as caught:
        cut = model.encode_prompts(["a dog", prompt])
    assert len(caught) == 1
    kept = " ".join(prompt.split()[:30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(cut.states[1:], model.encode_prompts([kept]).states)


def test_features_serve_training_after_inference_mode(model: StableDiffusion, images: list[Image.Image]) -> None:
    with torch.inference_mode():
        feature = model.encode_images(images[:1])
    layer = torch.nn.Linear(20, 1).double()
    layer(feature).sum().backward()
    assert_same(layer.weight.grad, feature)


def test_each_fit() -> None:
    assert framed(WIDE, "crop") is WIDE, "which is left to the encoders"
    assert np.array_equal(framed(WIDE, "squash"), WIDE.resize((512, 512)))
    padded = np.asarray(framed(WIDE, "pad"))
    assert np.array_equal(padded[20:40], WIDE)
    assert (padded[:20] == GREY).all()
    assert (padded[40:] == GREY).all()
    assert framed(Image.new("RGB", (5000, 100)), "pad").size == (1024, 1024)


def test_only_what_loses_more_than_a_third_is_named(recwarn: pytest.WarningsRecorder) -> None:
    say_what_is_lost(["a/photo"], [Image.new("RGB", (30, 20))])
    assert not recwarn
    with pytest.warns(UserWarning, match=r"Of 'a/wide' \(60 x 20 pixels\).*reference_fit pad` or `squash`"):
        say_what_is_lost(["a/wide"], [WIDE])
