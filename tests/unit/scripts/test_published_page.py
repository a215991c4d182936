"""docs/published.md names configs, options and classes that exist."""

import re
from dataclasses import fields
from inspect import signature

from datamodules.style_references import StyleReferences
from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction
from scripts.cli import ROOT

PAGE = (ROOT / "docs" / "published.md").read_text()
TRAININGS = (AdapterReconstruction, StyleEncoderReconstruction, ContentFusionReconstruction)


def test_configs_exist() -> None:
    configs = re.findall(r"configs/[\w/]+\.yaml", PAGE)
    assert len(configs) > 10 and all((ROOT / config).is_file() for config in configs)


def test_options_exist() -> None:
    known = {f"data.{name}" for name in signature(StyleReferences).parameters} | {"model.detector"}
    known |= {f"model.sampling.{field.name}" for field in fields(SamplingSettings)}
    known |= {f"model.backbone.{field.name}" for field in fields(Backbone)}
    options = set(re.findall(r"--([a-z_.]+)", PAGE))
    assert len(options) > 5 and options <= known


def test_arguments_of_the_trainings_and_blocks_exist() -> None:
    arguments = {name for training in TRAININGS for base in training.mro()[:2] for name in signature(base).parameters}
    said = {
        "rescale_in_training",
        "dropped_image",
        "drop",
        "shuffle_patches",
        "freeze_clip",
        "snr_gamma",
        "noisy_weight",
    }
    assert said <= arguments and all(f"`{name}`" in PAGE for name in said)
    assert all(f"`{block}`" in PAGE for block in StableDiffusion.BLOCKS["style_layout"])
