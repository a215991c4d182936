"""The lines of docs/methods.md for stock diffusers pipelines do what this project does."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.cli import ROOT
from tests.float64 import assert_same

pytestmark = pytest.mark.usefixtures("float64")

REFERENCE = Image.effect_noise((40, 30), 90).convert("RGB")


def lines() -> list[str]:
    """The snippet."""
    section = (ROOT / "docs" / "methods.md").read_text().split("## The conditions alone")[1]
    match = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert match is not None
    return match[1].splitlines()


def stock(pipeline: Any, backbone: Backbone) -> Any:
    folder = Path(backbone.model)
    encoder = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder")
    processor = CLIPImageProcessorPil.from_pretrained(folder / "image_encoder")
    pipe = pipeline.from_pretrained(folder, image_encoder=encoder, feature_extractor=processor)
    pipe.load_ip_adapter(folder, subfolder="", weight_name="ip_adapter.safetensors", image_encoder_folder=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(torch.float64)


def run(code: list[str], pipe: Any, **names: Any) -> dict[str, Any]:
    space = {"torch": torch, "Masking": Masking, "pipe": pipe, "reference": REFERENCE, **names}
    with torch.no_grad():
        exec("\n".join(code), space)
    return space


def expected_feature(backbone: Backbone) -> torch.Tensor:
    model = StableDiffusion.load(backbone).double()
    feature: torch.Tensor = Masking()(model.encode_images([REFERENCE]), model.encode_contents(["truck"])).feature
    return feature


def test_sdxl(tiny_sdxl: Backbone) -> None:
    space = run(lines(), stock(StableDiffusionXLPipeline, tiny_sdxl))
    assert_same(space["masked"][1], expected_feature(tiny_sdxl))
    assert not space["masked"][0].any()
    assert space["picture"].size == (16, 16)


def test_stable_diffusion_with_its_own_tower(tiny_backbone: Backbone) -> None:
    folder = Path(tiny_backbone.model) / "text_tower"
    ids = CLIPTokenizer.from_pretrained(folder)(["truck"], return_tensors="pt").input_ids
    with torch.no_grad():
        text = CLIPTextModelWithProjection.from_pretrained(folder).double()(ids).text_embeds
    space = run(lines()[1:], stock(StableDiffusionPipeline, tiny_backbone), text=text)
    assert_same(space["masked"][1], expected_feature(tiny_backbone))


@pytest.mark.parametrize("line", lines())
def test_lines_fit_a_screen(line: str) -> None:
    assert len(line) <= 110
