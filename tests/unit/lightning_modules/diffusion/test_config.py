"""Plain settings: their checks, and that they survive a checkpoint."""

import io

import pytest
import torch

from lightning_modules.diffusion.config import Backbone, SamplingSettings


def test_dtype_names_a_torch_dtype() -> None:
    assert Backbone(dtype="bfloat16").torch_dtype is torch.bfloat16
    with pytest.raises(ValueError, match="`dtype` must be one of float32, float16, bfloat16; got 'fp16'"):
        Backbone(dtype="fp16")  # type: ignore[arg-type]


def test_steps() -> None:
    with pytest.raises(ValueError, match="`steps` must be at least 1; got 0"):
        SamplingSettings(steps=0)


@pytest.mark.parametrize(("guidance_scale", "guided"), [(7.5, True), (1.01, True), (1.0, False), (0.0, False)])
def test_guided(guidance_scale: float, guided: bool) -> None:
    assert SamplingSettings(guidance_scale=guidance_scale).guided is guided


def test_settings_load_weights_only() -> None:
    settings = [Backbone("folder", dtype="float16"), SamplingSettings(scale={"mid_block": 0.5})]
    file = io.BytesIO()
    torch.save(settings, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == settings
