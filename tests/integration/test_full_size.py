"""Stable Diffusion 1.5 and CLIP ViT-H/14 in their full size, with random weights, against diffusers' pipeline.

Takes 9 GB of disk, 10 GB of memory and some minutes:

    MASKST_FULL_SIZE=1 python -m pytest tests/integration/test_full_size.py
"""

import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console
from torch import Tensor

from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import denoise
from lightning_modules.diffusion.stable_diffusion import StableDiffusion

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("MASKST_FULL_SIZE") != "1", reason="9 GB; asked for by MASKST_FULL_SIZE=1"),
]
ROOT = Path(__file__).parents[2]
PROMPT, CONTENT, NEGATIVE, SEED = "A rocket, best quality", "cat", "low quality, blurry", 42
SETTINGS = SamplingSettings("UniPCMultistepScheduler", steps=2, guidance_scale=7.5, negative_prompt=NEGATIVE)


class Ours(NamedTuple):
    """What this project computed."""

    feature: Tensor
    latents: Tensor
    without_image: Tensor
    seconds: float
    peak: float


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Written by a process of its own, whose memory is not counted; removed at once afterwards."""
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "scripts.random_backbone", "--family", "sd15", "--folder", f"{root}/sd15"]
        subprocess.run(command, cwd=ROOT, check=True)
        yield Path(root, "sd15")


def test_equal_to_the_pipeline_in_full_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = _ours(folder)
    gc.collect()
    expected = _by_the_pipeline(folder, ours.feature)
    largest = expected.abs().max()
    difference = ((ours.latents - expected).abs().max() / largest).item()
    effect = ((ours.latents - ours.without_image).abs().max() / largest).item()
    with capsys.disabled():
        Console(soft_wrap=True).print(
            f"\n{ours.seconds:.0f} s for {SETTINGS.steps} steps, peak memory {ours.peak:.2f} GiB "
            f"(writer {_peak(resource.RUSAGE_CHILDREN):.2f} GiB); of the largest latent {largest:.3f}: difference to "
            f"the pipeline {difference:.1e}, effect of the image {effect:.1e}"
        )
    assert expected.isfinite().all()
    assert effect > 1e-3  # otherwise the comparison would say nothing of the image's path
    assert difference < effect / 100


def _ours(folder: Path) -> Ours:
    config = yaml.safe_load((folder / "backbone.yaml").read_text())
    model = StableDiffusion.load(Backbone(**config["model"]["init_args"]["backbone"]))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((300, 260), Image.Resampling.BICUBIC)
    with torch.no_grad():
        feature = Masking()(model.encode_images([image]), model.encode_contents([CONTENT])).feature
        begun = time.perf_counter()
        latents = _denoised(model, feature)
        seconds = time.perf_counter() - begun
        peak = _peak(resource.RUSAGE_SELF)
        return Ours(feature, latents, _denoised(model, torch.zeros_like(feature)), seconds, peak)


def _denoised(model: StableDiffusion, feature: Tensor) -> Tensor:
    conditional = model.conditions(model.encode_prompts([PROMPT]), [model.project(feature)])
    nothing = [model.project(torch.zeros_like(feature))]
    unconditional = model.conditions(model.unconditional_text(NEGATIVE), nothing)
    return denoise(model, SETTINGS, conditional, unconditional, [SEED])


def _by_the_pipeline(folder: Path, feature: Tensor) -> Tensor:
    from diffusers import StableDiffusionPipeline, UniPCMultistepScheduler
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pipe: Any = StableDiffusionPipeline.from_pretrained(folder, feature_extractor=CLIPImageProcessorPil())
    pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.load_ip_adapter(str(folder), subfolder="", weight_name="ip_adapter.bin", image_encoder_folder=None)
    pipe.set_progress_bar_config(disable=True)
    embeds = feature[None]
    latents: Tensor = pipe(
        PROMPT,
        negative_prompt=NEGATIVE,
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeds), embeds])],
        latents=torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(SEED)),
        guidance_scale=SETTINGS.guidance_scale,
        num_inference_steps=SETTINGS.steps,
        output_type="latent",
    ).images
    return latents


def _peak(who: int) -> float:
    """Peak resident memory in GiB; Linux counts in KiB."""
    return resource.getrusage(who).ru_maxrss / 2**20
