"""What StyleShot starts from: CLIP's transformer, the text's attention, and new weights that a seed decides."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from lightning_modules.diffusion.ip_adapter import install_attention
from lightning_modules.styleshot.weights import (
    controlnet_from_unet,
    new_projection,
    new_style_encoder,
    text_attention,
)
from tests.styleshot import PATCHES
from tests.tiny import FEATURE_DIM, TEXT_DIM, tiny_unet, vision_config
from tests.unit.lightning_modules.styleshot.test_weights import NAMES

CLIP = CLIPVisionModelWithProjection(vision_config())
UNET = tiny_unet()
NEW: dict[str, Callable[[int], nn.Module]] = {
    "encoder": lambda seed: new_style_encoder(CLIP, PATCHES, seed),
    "projection": lambda seed: new_projection(FEATURE_DIM, TEXT_DIM, seed),
    "controlnet": lambda seed: controlnet_from_unet(UNET, (4, 8), seed),
}


def test_the_transformer_is_clips_and_its_activation_that_of_the_published_file() -> None:
    encoder = new_style_encoder(CLIP, PATCHES, 0)
    ours, clips = encoder.image_encoder.state_dict(), CLIP.state_dict()
    assert set(ours) == set(clips) and all(torch.equal(ours[key], clips[key]) for key in clips)
    assert encoder.config.vision.hidden_act == "gelu"
    assert encoder.config.vision.num_attention_heads == CLIP.config.num_attention_heads
    assert CLIP.config.hidden_act == "quick_gelu", "of which the original is left as it was"
    assert (encoder.config.channels, encoder.config.image_size) == (PATCHES.channels, 64)
    assert encoder.encode(torch.rand(2, 3, 64, 64)).shape == (2, 3, FEATURE_DIM)
    before = clips["visual_projection.weight"].clone()
    with torch.no_grad():
        encoder.image_encoder.visual_projection.weight.zero_()
    assert torch.equal(CLIP.state_dict()["visual_projection.weight"], before), "the encoder has copies"


@pytest.mark.parametrize("name", NEW)
def test_first_weights_depend_on_the_seed_alone(name: str) -> None:
    state = torch.random.get_rng_state()
    first, second = (_made(name, seed=1, noise=noise) for noise in (5, 6))
    other = _made(name, seed=2, noise=5)
    torch.random.set_rng_state(state)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    torch.rand(1)
    before = torch.random.get_rng_state()
    NEW[name](3)
    assert torch.equal(torch.random.get_rng_state(), before), "global chance is left as it was"


@pytest.mark.parametrize("name", NEW)
def test_first_weights_do_not_depend_on_the_device_on_which_a_trainer_builds(name: str) -> None:
    expected = NEW[name](1).state_dict()
    with torch.device("meta"):  # as the Trainer does with an accelerator, whose chance is another
        built = NEW[name](1).state_dict()
    assert all(torch.equal(built[key], expected[key]) for key in expected)


def test_attention_starts_as_a_copy_of_the_texts() -> None:
    unet = tiny_unet()
    weights = text_attention(unet)
    install_attention(unet, weights, 6)
    for place, name in enumerate(NAMES):
        layer = unet.get_submodule(name)
        for kind in "kv":
            own, installed = getattr(layer, f"to_{kind}").weight, getattr(layer.processor, f"to_{kind}_ip")[0].weight
            assert torch.equal(installed, own)
            assert installed.data_ptr() != own.data_ptr()
            assert weights[f"{2 * place + 1}.to_{kind}_ip.weight"].data_ptr() != own.data_ptr()
    assert len(weights) == 2 * len(NAMES)


def _made(name: str, seed: int, noise: int) -> dict[str, Tensor]:
    torch.manual_seed(noise)
    return NEW[name](seed).state_dict()
