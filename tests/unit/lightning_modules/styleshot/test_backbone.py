"""StyleShot as a backbone: loaded by its settings, drawing with conditions that act on each level."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from datamodules.batches import Job, Reference
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.style_transfer import StyleTransfer
from tests.float64 import assert_same
from tests.styleshot import write_styleshot
from tests.unit.lightning_modules.styleshot.reference import DIM

IMAGES = [Image.effect_noise((40, 30), 90).convert("RGB"), Image.new("RGB", (20, 50), (200, 40, 10))]


@pytest.fixture(scope="module")
def styleshot(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return write_styleshot(tmp_path_factory.mktemp("styleshot"), tiny_backbone)


@pytest.mark.usefixtures("float64")
def test_three_levels_become_six_tokens(styleshot: Backbone) -> None:
    model = StableDiffusion.load(styleshot).double()
    features = model.encode_images(IMAGES)
    assert features.shape == (2, 3, DIM)
    assert model.project(features).shape == (2, 6, model.unet.config.cross_attention_dim)
    text = model.encode_prompts(["A rocket"] * 2)
    settings = SamplingSettings(steps=2)
    together = sample(model, settings, text, features, [1, 2])
    alone = sample(model, settings, model.encode_prompts(["A rocket"]), features[1:], [2])
    assert_same(together[1:], alone)


def test_each_level_has_a_mask_of_its_own_against_the_text(styleshot: Backbone) -> None:
    module = StyleTransfer(Masking(), styleshot, SamplingSettings(steps=1))
    module.configure_model()
    reference = Reference(0, "dog/a", "dog", "toy", "d0")
    jobs = [Job(reference, "A rocket", 0, 42)]
    generations = module.generate({"jobs": jobs, "images": {"dog/a": IMAGES[0]}, "contents": [], "finished": 0})
    model = module.model
    expected = Masking()(model.encode_images(IMAGES[:1]), model.encode_contents(["dog"]))
    assert generations.keep_mask is not None and expected.keep_mask is not None
    assert torch.equal(generations.keep_mask, expected.keep_mask)
    assert generations.keep_mask.shape == (1, 3, DIM)
    for level in range(3):
        features = model.encode_images(IMAGES[:1])[:, level]
        own = Masking()(features, model.encode_contents(["dog"])).keep_mask
        assert own is not None
        assert torch.equal(own, generations.keep_mask[:, level])


def test_an_ip_adapter_in_place_of_ip_bin(styleshot: Backbone, tiny_backbone: Backbone) -> None:
    wrong = replace(styleshot, ip_adapter=f"{tiny_backbone.model}/ip_adapter.bin")
    with pytest.raises(ValueError, match="`ip_adapter`"):
        StableDiffusion.load(wrong)
    with pytest.raises(FileNotFoundError, match="`style_encoder`"):
        StableDiffusion.load(replace(styleshot, style_encoder="no such file at all"))
