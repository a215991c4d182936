"""What is refused at the door, by the names of the arguments."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import Adapted, InstantStyle, IPAdapter, QuantileMasking
from lightning_modules.diffusion.config import Backbone, ReferenceMix, SamplingSettings
from lightning_modules.objectives import BoundedContrast, DropRates, PublishedObjective
from lightning_modules.style_transfer import StyleTransfer
from lightning_modules.styleshot.detectors import EdgeDetector
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction

DOORS: list[tuple[str, Callable[[float], Any]]] = [
    ("scale", lambda value: SamplingSettings(scale=value)),
    ("scale", lambda value: SamplingSettings(scale={"mid_block": value})),
    ("guidance_scale", lambda value: SamplingSettings(guidance_scale=value)),
    ("content_scale", lambda value: SamplingSettings(content_scale=value)),
    ("weights", lambda value: ReferenceMix(weights=[1.0, value])),
    ("strength", InstantStyle),
    ("strength", lambda value: Adapted(ImageAdapter(2), value)),
    ("strength", lambda value: AdapterReconstruction(strength=value)),
    ("theta", QuantileMasking),
    ("weight", PublishedObjective),
    ("weight", BoundedContrast),
    ("margin", lambda value: BoundedContrast(margin=value)),
    ("drop", lambda value: DropRates(both=value)),
    ("snr_gamma", lambda value: ContentFusionReconstruction(snr_gamma=value)),
    ("noisy_weight", lambda value: ContentFusionReconstruction(noisy_weight=value)),
    ("blur", EdgeDetector),
    ("sure_contrast", lambda value: EdgeDetector(sure_contrast=value)),
]


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize(("name", "build"), DOORS)
def test_what_is_no_number_is_refused_by_name(name: str, build: Callable[[float], Any], value: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}` .*{value}"):
        build(value)


STYLESHOT = Backbone(style_encoder="style_aware_encoder.bin")
SEED = "`seed` is a number from 0 to 4294967295 and was -1"
SNR = r"`snr_gamma` must be above 0, or null, and `noisy_weight` at least 1; got "


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AdapterReconstruction(seed=-1), SEED),
        (lambda: StyleEncoderReconstruction(seed=-1), SEED),
        (lambda: ContentFusionReconstruction(STYLESHOT, seed=-1), SEED),
        (lambda: StyleEncoderReconstruction(snr_gamma=0.0), SNR + r"0.0 and 1.0\. null and 1 weight"),
        (lambda: ContentFusionReconstruction(STYLESHOT, snr_gamma=0.0), SNR + r"0.0 and 1.0\. null and 1 weight"),
        (lambda: StyleEncoderReconstruction(noisy_weight=0.5), SNR + "None and 0.5"),
        (ContentFusionReconstruction, "`style_encoder` is missing: .* Give a backbone with Style"),
        (lambda: AdapterReconstruction().adapter, r"`adapter` is not built yet.* `configure_model\(\)`"),
        (lambda: StyleTransfer(IPAdapter()).model, r"`diffusion` is not loaded yet.*`configure_model\(\)` first"),
        (lambda: SamplingSettings(content_template="A dog"), r"`content_template` must hold \{\} .* got 'A dog'"),
        (lambda: BoundedContrast(margin=0.0), "`margin` .* above 0 and at most 1, got .* `PublishedObjective`"),
        (lambda: BoundedContrast(margin=-1.0), "`margin` .* above 0 and at most 1, got .* `PublishedObjective`"),
        (lambda: BoundedContrast(margin=1.5), "`margin` .* above 0 and at most 1, got .* `PublishedObjective`"),
        (lambda: BoundedContrast(weight=-1), "`weight` .* expected a number >= 0, got -1"),
        (lambda: PublishedObjective(weight=-1), "`weight` .* expected a number >= 0, got -1"),
        (lambda: DropRates(-0.1, 0.0, 0.0), "`drop` .* sum to at most 1, got image=.*, both=.*published.md"),
        (lambda: DropRates(0.5, 0.4, 0.2), "`drop` .* sum to at most 1, got image=.*, both=.*published.md"),
    ],
)
def test_arguments_out_of_range_are_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=message):
        build()
