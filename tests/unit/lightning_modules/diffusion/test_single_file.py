"""A whole Stable Diffusion in one file, as diffusers reads it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.float64 import assert_same
from tests.single_file import write_single_file
from tests.unit.lightning_modules.diffusion.stock import Exact, Pair, with_adapters

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings("DDIMScheduler", steps=4, guidance_scale=3.0)


@pytest.fixture(scope="module")
def backbone(tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    file = write_single_file(Path(tiny_backbone.model), tmp_path_factory.mktemp("single") / "whole.safetensors")
    return replace(tiny_backbone, model=str(file), model_config=tiny_backbone.model)


def test_it_draws_as_diffusers_own_reading_of_it(backbone: Backbone, tiny_backbone: Backbone) -> None:
    model, folder = StableDiffusion.load(backbone), Path(tiny_backbone.model)
    expected = StableDiffusion.load(tiny_backbone).state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.state_dict().items())
    parts = {"safety_checker": None, "feature_extractor": None}
    pipe = StableDiffusionPipeline.from_single_file(backbone.model, config=str(folder), local_files_only=True, **parts)
    exact = Exact(Pair(model.double(), folder), with_adapters(pipe, folder))
    assert_same(exact.own(SETTINGS), exact.stock(SETTINGS))


def test_each_network_has_its_precision(backbone: Backbone) -> None:
    model = StableDiffusion.load(replace(backbone, dtype="bfloat16", vae_dtype="float32", variant="fp16"))
    assert (model.unet.dtype, model.vae.dtype) == (torch.bfloat16, torch.float32)


def test_without_the_settings_of_its_kind_it_is_refused(backbone: Backbone, tiny_backbone: Backbone) -> None:
    with pytest.raises(ValueError, match=r"`model_config` must be given with .*whole.safetensors.* or convert it"):
        StableDiffusion.load(replace(backbone, model_config=None))
    with pytest.raises(ValueError, match="`model_config` must be given with a `model` of one file, and only then"):
        StableDiffusion.load(replace(tiny_backbone, model_config=tiny_backbone.model))


@pytest.mark.parametrize("missing", ["model.diffusion_model.out.2.", "first_stage_model.", "cond_stage_model."])
def test_a_file_with_gaps_is_refused(backbone: Backbone, tmp_path: Path, missing: str) -> None:
    file = tmp_path / "gaps.safetensors"
    save_file({k: v for k, v in load_file(backbone.model).items() if not k.startswith(missing)}, file)
    with pytest.raises(ValueError, match=r"`model`: '.*gaps.safetensors' does not hold a .* `model_config` a folder"):
        StableDiffusion.load(replace(backbone, model=str(file)))
