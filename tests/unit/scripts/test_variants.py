"""The settings of a sweep: every combination once, and faults named before anything is drawn."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import InstantStyle, IPAdapter, Masking, QuantileMasking
from lightning_modules.conditions.trained import adapter_bytes
from lightning_modules.diffusion.config import MicroConditioning, SamplingSettings
from scripts.cli import ROOT
from scripts.variants import SweptMethod as Swept
from scripts.variants import variants
from scripts.yaml_files import read_yaml

SAMPLING = SamplingSettings(steps=20, guidance_scale=4.0)


def test_every_combination_comes_once_with_the_other_settings_kept() -> None:
    grid = Swept("InstantStyle", {"strength": [1.0, 0.5], "norm_matched": True}, {"scale": [0.8, 0.2]})
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


def test_checkpoints_of_one_adapter_are_told_apart_by_all_of_their_weights(tmp_path: Path) -> None:
    adapter, files = ImageAdapter(64), [str(tmp_path / f"{name}.safetensors") for name in "abc"]
    for file in files:
        if file == files[1]:
            with torch.no_grad():
                adapter.proj.weight[30, 30] += 1e-6  # what no printed tensor shows
        Path(file).write_bytes(adapter_bytes(adapter))
    trained = "lightning_modules.conditions.trained.TrainedAdapter"
    found = variants([Swept(trained, {"checkpoint": files[:2]})], SAMPLING)
    assert len({each.name for each in found}) == 2
    with pytest.raises(ValueError, match="lists a setting twice, as image-adapter__checkpoint-"):
        variants([Swept(trained, {"checkpoint": files[1:]})], SAMPLING)


@pytest.mark.parametrize("backbone", ["sd15", "sdxl", "styleshot"])
def test_what_a_grid_does_not_say_stays_as_the_backbone_has_it(backbone: str) -> None:
    values = read_yaml(ROOT / f"configs/backbone/{backbone}.yaml")
    sampling = SamplingSettings(
        **values["model"]["init_args"]["sampling"], micro_conditioning=MicroConditioning((9, 8))
    )
    [variant] = variants([Swept("IPAdapter")], sampling)
    assert variant.sampling == sampling


def test_the_published_sweep_has_its_49_settings() -> None:
    values = read_yaml(ROOT / "configs/sweep/published.yaml")
    found = variants([Swept(**each) for each in values["sweep"]], SAMPLING)
    kinds = [type(each.condition) for each in found]
    assert [kinds.count(kind) for kind in (IPAdapter, InstantStyle, Masking, QuantileMasking)] == [5, 25, 1, 18]
    assert len({each.name for each in found}) == 49
    quantiles = {(each.condition.settings["theta"], each.condition.settings["drop"]) for each in found[-18:]}
    assert quantiles == {(round(0.1 * theta, 1), drop) for theta in range(1, 10) for drop in ("high", "low")}


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ([], "`sweep` is empty: list one method or more, such as"),
        ([Swept("Masks")], "the condition 'Masks' is none. Expected one of Adapted, IPAdapter"),
        ([Swept("ProductMasking")], "the condition 'ProductMasking' is none"),
        ([Swept("os.path.join")], "the condition 'os.path.join' is none"),
        ([Swept("no.such.module.Class")], "is none"),
        (
            [Swept("Masking", {"theta": [0.5]})],
            "Masking has no `arguments` named theta; there are n_clusters, n_init, seed",
        ),
        (
            [Swept("IPAdapter", {}, {"scales": [1]})],
            "IPAdapter has no `sampling` named scales; there are scheduler",
        ),
        ([Swept("IPAdapter", {}, {"scale": []})], "IPAdapter has no value for scale: list one or more"),
        ([Swept("QuantileMasking", {"theta": [1.5]})], "`theta` must be in"),
        ([Swept("Masking"), Swept("Masking")], "lists a setting twice, as masking and masking"),
        (
            [Swept("IPAdapter"), Swept("IPAdapter", {}, {"scale": 1})],
            "twice, as ip-adapter and ip-adapter__scale-1.0",
        ),
        ([Swept("IPAdapter", {}, {"scale": [1, 1.0]})], "lists a setting twice"),
        ([Swept("InstantStyle", {"strength": ["abc"]})], "InstantStyle cannot have {'strength': 'abc'}: "),
        ([Swept("IPAdapter", {}, {"guidance_scale": "x"})], "guidance_scale"),
        ([Swept("lightning_modules.conditions.trained.TrainedAdapter")], "checkpoint"),
    ],
)
def test_faults_are_named(grids: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        variants(grids, SAMPLING)


LOST = [
    "a b",
    "a-b",
    "a, b",
    "a_b",
    "水彩",
    "油画",
    "",
    "!",
    "x" * 90 + "1",
    "x" * 90 + "2",
    "Ink",
    "ink",
    "-1",
    "1",
    "a/b",
    "b/",
]


def test_settings_that_differ_have_folders_that_differ_whatever_else_is_swept() -> None:
    grids = [
        Swept("IPAdapter", {}, {"negative_prompt": LOST}),
        Swept("IPAdapter", {}, {"scale": [-0.5, 0.5, 1e-5, 1e5]}),
    ]
    names = [each.name for each in variants(grids, SamplingSettings())]
    assert len({name.casefold() for name in names}) == len(names) == len(LOST) + 4
    assert max(map(len, names)) < 200
    alone = [variants([Swept("IPAdapter", {}, {"negative_prompt": text})], SamplingSettings())[0].name for text in LOST]
    assert alone == names[: len(LOST)]


def test_two_settings_in_one_folder_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.variants._word", lambda *_: "same")
    with pytest.raises(ValueError, match="two settings whose folder would be `ip-adapter__same`"):
        variants([Swept("IPAdapter", {}, {"scale": [0.5, 1.0]})], SamplingSettings())
