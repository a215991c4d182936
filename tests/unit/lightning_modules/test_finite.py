"""Numbers that are not finite are refused at the door, by the names of their arguments."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import Adapted, InstantStyle, QuantileMasking
from lightning_modules.content_fusion_reconstruction import ContentFusionReconstruction
from lightning_modules.diffusion.config import ReferenceMix, SamplingSettings
from lightning_modules.draws import DropRates
from lightning_modules.objectives import BoundedContrast, PublishedObjective
from lightning_modules.styleshot.detectors import EdgeDetector

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
