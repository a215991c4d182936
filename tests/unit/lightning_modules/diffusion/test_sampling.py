"""The denoising loop against itself (batches) and its settings; test_pipeline_parity has diffusers' own loop."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules.diffusion.config import SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.sampling import initial_noise, sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Pair

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings(steps=4, negative_prompt="low quality")
PROMPTS = ["A rocket", "A bench", "A human", "A laptop", "A flower", "", "a dog", "oil painting"]


def _rows(text: Text, rows: slice) -> Text:
    return Text(text.states[rows], text.pooled[rows])


def _features(rows: int = 8) -> Tensor:
    return torch.randn(rows, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float32)


@pytest.mark.parametrize("scheduler", ["UniPCMultistepScheduler", "EulerAncestralDiscreteScheduler", "DDIMScheduler"])
def test_a_row_does_not_depend_on_its_batch(pair: Pair, scheduler: str) -> None:
    model, settings = pair.model, dataclasses.replace(SETTINGS, scheduler=scheduler)
    sets, negative, seeds = [pair.features(8, 0), pair.features(8, 1)], pair.features(8, 2), list(range(40, 48))
    text, shares = model.encode_prompts(PROMPTS), (0.4, 0.6)
    together = sample(model, settings, text, sets, seeds, negative_features=negative, shares=shares)
    for row, seed in enumerate(seeds):
        one = slice(row, row + 1)
        alone = [each[one] for each in sets], [seed], None, negative[one], shares
        assert_same(together[one], sample(model, settings, _rows(text, one), *alone))
    pairs = itertools.combinations(together, 2)
    assert min(float((a - b).abs().max()) for a, b in pairs) > 1e-2, "rows must differ, or nothing was compared"


def test_each_input_reaches_the_picture(model: StableDiffusion) -> None:
    one, other, features = model.encode_prompts(["A rocket"]), model.encode_prompts(["A bench"]), _features(2)
    base = sample(model, SETTINGS, one, features[:1], [42])
    changed = {
        "prompt": sample(model, SETTINGS, other, features[:1], [42]),
        "feature": sample(model, SETTINGS, one, features[1:], [42]),
        "second feature": sample(model, SETTINGS, one, list(features.split(1)), [42], shares=(0.9, 0.1)),
        "seed": sample(model, SETTINGS, one, features[:1], [43]),
        "negative": sample(model, SETTINGS, one, features[:1], [42], model.encode_prompts(["A frog"])),
        "negative feature": sample(model, SETTINGS, one, features[:1], [42], negative_features=features[1:]),
        "scale": sample(model, dataclasses.replace(SETTINGS, scale=0.3), one, features[:1], [42]),
        "blocks": sample(model, dataclasses.replace(SETTINGS, target_blocks=["mid_block"]), one, features[:1], [42]),
    }
    for name, images in changed.items():
        assert float((images - base).abs().max()) > 1e-3, name


@pytest.mark.parametrize("guidance_scale, rows", [(1.0, 2), (0.5, 2), (7.5, 4)])
def test_the_unconditional_half_runs_only_under_guidance(
    model: StableDiffusion, monkeypatch: pytest.MonkeyPatch, guidance_scale: float, rows: int
) -> None:
    seen = []
    predict = model.predict_noise

    def spy(latents: Tensor, *rest: Any) -> Tensor:
        seen.append(latents.shape[0])
        return predict(latents, *rest)

    monkeypatch.setattr(model, "predict_noise", spy)
    settings = dataclasses.replace(SETTINGS, guidance_scale=guidance_scale)
    sample(model, settings, model.encode_prompts(["A rocket"] * 2), _features(2), [1, 2])
    assert seen == [rows] * 4


def test_the_projection_runs_outside_the_loop(model: StableDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    project = model.project
    monkeypatch.setattr(model, "project", lambda feature: calls.append(feature) or project(feature))
    sample(model, SETTINGS, model.encode_prompts(["A rocket"]), _features(1), [1])
    assert len(calls) == 2, "the reference, and zero for the unconditional half"
    assert torch.equal(calls[1], torch.zeros(1, 20))


def test_sampling_restores_scales_and_default_type(model: StableDiffusion) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        settings = dataclasses.replace(SETTINGS, scale={"mid_block": 0.2})
        images = sample(model, settings, model.encode_prompts(["A rocket"]), _features(1), [1])
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)
    assert_same(images, sample(model, settings, model.encode_prompts(["A rocket"]), _features(1), [1]))
    scales = [p.scale for name, p in model.unet.attn_processors.items() if "attn2" in name]
    assert scales == [[1.0]] * 7


def test_noise_is_the_generators_own() -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in (42, 7)]
    noise = initial_noise(generators, (4, 8, 8))
    expected = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    assert torch.equal(noise[1:], expected)


@pytest.mark.parametrize(
    ("pictures", "features", "seeds", "options", "message"),
    [
        (1, _features(1), [-1], {}, r"`seeds` must be from 0 to 4294967295, .*; got "),
        (1, _features(1), [2**32], {}, r"`seeds` must be from 0 to 4294967295, .*; got "),
        (1, _features(2), [1], {}, "must have one row for each picture .* got 1, 2 and 1 rows"),
        (2, [_features(2), _features(1)], [1, 2], {}, "got 2, 2, 1 and 2 rows"),
        (1, [_features(1)] * 2, [1], {}, "`shares` must have one number for each of the 2"),
        (2, _features(2), [1, 2], {"negative_features": _features(3)}, "must have one row, or one for each of the 2"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    model: StableDiffusion, pictures: int, features: Any, seeds: list[int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sample(model, SETTINGS, model.encode_prompts(["A rocket"] * pictures), features, seeds, **options)


def test_progress_sums_to_the_pictures_and_may_end_the_drawing(model: StableDiffusion) -> None:
    told: list[float] = []
    text = model.encode_prompts(["A rocket", "A bench"])
    plain = sample(model, SETTINGS, text, _features(2), [42, 43])
    assert torch.equal(sample(model, SETTINGS, text, _features(2), [42, 43], progress=told.append), plain)
    assert told == [2 / SETTINGS.steps] * SETTINGS.steps

    def stop(pictures: float) -> None:
        told.append(pictures)
        raise KeyboardInterrupt

    told.clear()
    with pytest.raises(KeyboardInterrupt):
        sample(model, SETTINGS, text, _features(2), [42, 43], progress=stop)
    assert len(told) == 1
