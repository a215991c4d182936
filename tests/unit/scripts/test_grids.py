"""Grids of settings: every combination once, and faults named before anything is drawn."""

import re
from typing import Any

import pytest
import yaml

from lightning_modules.conditions import InstantStyle, IPAdapter, Masking, QuantileMasking
from lightning_modules.diffusion.config import SamplingSettings
from scripts.cli import ROOT
from scripts.grids import Grid, variants

SAMPLING = SamplingSettings(steps=20, guidance_scale=4.0)


def test_every_combination_comes_once_with_the_other_settings_kept() -> None:
    grid = Grid("InstantStyle", {"strength": [1.0, 0.5], "norm_matched": True}, {"scale": [0.8, 0.2]})
    found = variants([grid], SAMPLING)
    conditions = [each.condition for each in found]
    assert all(isinstance(each, InstantStyle) and each.norm_matched for each in conditions)
    assert [
        (each.settings["strength"], variant.sampling.scale) for each, variant in zip(conditions, found, strict=True)
    ] == [
        (1.0, 0.8),
        (1.0, 0.2),
        (0.5, 0.8),
        (0.5, 0.2),
    ]
    assert {(each.sampling.steps, each.sampling.guidance_scale) for each in found} == {(20, 4.0)}
    assert found[1].name == "instantstyle__strength-1.0__norm-matched-true__scale-0.2"


def test_the_published_sweep_has_its_49_settings() -> None:
    values = yaml.safe_load((ROOT / "configs/sweep/published.yaml").read_text())
    found = variants([Grid(**each) for each in values["sweep"]], SAMPLING)
    kinds = [type(each.condition) for each in found]
    assert [kinds.count(kind) for kind in (IPAdapter, InstantStyle, Masking, QuantileMasking)] == [5, 25, 1, 18]
    assert len({each.name for each in found}) == 49
    quantiles = {(each.condition.settings["theta"], each.condition.settings["drop"]) for each in found[-18:]}
    assert quantiles == {(round(0.1 * theta, 1), drop) for theta in range(1, 10) for drop in ("high", "low")}


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ([], "`sweep` is empty: list one grid or more, such as"),
        ([Grid("Masks")], "the condition 'Masks' is none. Expected one of Adapted, IPAdapter"),
        ([Grid("ProductMasking")], "the condition 'ProductMasking' is none"),
        ([Grid("os.path.join")], "the condition 'os.path.join' is none"),
        ([Grid("no.such.module.Class")], "is none"),
        (
            [Grid("Masking", {"theta": [0.5]})],
            "Masking has no `arguments` named theta; there are n_clusters, n_init, seed",
        ),
        ([Grid("IPAdapter", {}, {"scales": [1]})], "IPAdapter has no `sampling` named scales; there are scheduler"),
        ([Grid("IPAdapter", {}, {"scale": []})], "IPAdapter has no value for scale: list one or more"),
        ([Grid("QuantileMasking", {"theta": [1.5]})], "`theta` must be in"),
        ([Grid("Masking"), Grid("Masking")], "lists a setting twice, as masking and masking"),
        ([Grid("IPAdapter"), Grid("IPAdapter", {}, {"scale": 1})], "twice, as ip-adapter and ip-adapter__scale-1.0"),
        ([Grid("IPAdapter", {}, {"scale": [1, 1.0]})], "lists a setting twice"),
        ([Grid("InstantStyle", {"strength": ["abc"]})], "InstantStyle cannot have {'strength': 'abc'}: "),
        ([Grid("IPAdapter", {}, {"guidance_scale": "x"})], "guidance_scale"),
        ([Grid("lightning_modules.conditions.trained.TrainedAdapter")], "checkpoint"),
    ],
)
def test_faults_are_named(grids: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        variants(grids, SAMPLING)
