"""Plain settings: their checks, and that they survive a checkpoint."""

import io
from typing import Any

import pytest
import torch

from lightning_modules.diffusion.config import Backbone, MicroConditioning, ReferenceMix, Runtime, SamplingSettings


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Backbone, {"dtype": "fp16"}, "`dtype` must be one of float32, float16, bfloat16; got 'fp16'"),
        (Backbone, {"vae_dtype": "half"}, "`vae_dtype` must be one of float32, float16, bfloat16, None; got 'half'"),
        (Backbone, {"reference_fit": "stretch"}, "`reference_fit` must be one of crop, pad, squash; got 'stretch'"),
        (SamplingSettings, {"steps": 0}, "`steps` must be at least 1; got 0"),
        (SamplingSettings, {"eta": 1.5}, r"`eta` must be a share, 0 .. 1; got 1.5"),
        (
            SamplingSettings,
            {"scale": {"mid_block": 0.5}, "target_blocks": "style"},
            "`scale` names blocks and `target_blocks` is 'style': both say which blocks",
        ),
        *((ReferenceMix, {"weights": w}, "must be numbers from 0 up, not all 0; got") for w in ([1, -1], [0, 0], [])),
    ],
)
def test_settings_without_sense_are_refused(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize(("guidance_scale", "guided"), [(7.5, True), (1.01, True), (1.0, False), (0.0, False)])
def test_guided(guidance_scale: float, guided: bool) -> None:
    assert SamplingSettings(guidance_scale=guidance_scale).guided is guided


def test_settings_load_weights_only() -> None:
    settings = [
        Backbone("folder", dtype="float16"),
        SamplingSettings(scale={"mid_block": 0.5}, micro_conditioning=MicroConditioning((8, 9))),
        ReferenceMix("tokens", [1.0, 2.0]),
        Runtime(offload=True),
    ]
    assert settings[0].torch_dtype is torch.float16  # type: ignore[attr-defined]
    file = io.BytesIO()
    torch.save(settings, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == settings


def test_sizes_that_are_not_given_are_those_of_the_picture() -> None:
    micro = MicroConditioning()
    assert micro.time_ids((24, 32)) == micro.negative_time_ids((24, 32)) == [24, 32, 0, 0, 24, 32]
    micro = MicroConditioning((1, 2), (3, 4), (5, 6))
    assert micro.time_ids((24, 32)) == micro.negative_time_ids((24, 32)) == [1, 2, 3, 4, 5, 6]
    micro = MicroConditioning((1, 2), (3, 4), negative_crop_top_left=(0, 0), negative_target_size=(7, 8))
    assert micro.negative_time_ids((24, 32)) == [1, 2, 0, 0, 7, 8]


@pytest.mark.parametrize(
    ("weights", "count", "shares"), [(None, 4, [0.25] * 4), ([1, 3], 2, [0.25, 0.75]), ([5, 0], 2, [1, 0])]
)
def test_shares_sum_to_one(weights: list[float] | None, count: int, shares: list[float]) -> None:
    assert ReferenceMix(weights=weights).shares(count) == shares
    with pytest.raises(ValueError, match=r"`weights` must have one number for each of the 3 references.*got \[1, 2\]"):
        ReferenceMix(weights=[1, 2]).shares(3)
