"""Which bases `fit` trains on, and where their networks lie meanwhile."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from diffusers import UNet2DConditionModel

from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.style_encoder_reconstruction import StyleEncoderReconstruction
from tests.fitting import module, references, trainer
from tests.unit.lightning_modules.diffusion.exact import variant


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("references") / "object"


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("unet", {"time_cond_proj_dim": 6}, "`model` embeds its guidance .* Train on the base"),
        ("scheduler", {"_class_name": "EDMEulerScheduler", "beta_schedule": ...}, "`model` has the scheduler EDMEuler"),
        ("scheduler", {"prediction_type": "flow_prediction"}, "`model` predicts 'flow_prediction' .*epsilon, v_pred"),
    ],
)
def test_a_base_that_was_trained_otherwise_is_refused(
    tiny_backbone: Backbone, root: Path, tmp_path: Path, part: str, changes: dict[str, Any], message: str
) -> None:
    backbone = variant(tiny_backbone, tmp_path / "base", part, changes)
    if part == "unet":
        UNet2DConditionModel(**UNet2DConditionModel.load_config(f"{backbone.model}/unet")).save_pretrained(
            f"{backbone.model}/unet"
        )
    sampling = SamplingSettings("EDMEulerScheduler" if "_class_name" in changes else "UniPCMultistepScheduler", steps=2)
    with pytest.raises(ValueError, match=message):
        trainer().fit(AdapterReconstruction(backbone=backbone, sampling=sampling), references(root))


def test_how_the_model_was_trained_is_no_option_of_sampling(tiny_backbone: Backbone, root: Path) -> None:
    sampling = SamplingSettings(steps=2, scheduler_options={"prediction_type": "v_prediction"})
    with pytest.raises(ValueError, match="`scheduler_options` sets prediction_type, .*scheduler_config.json"):
        trainer().fit(AdapterReconstruction(backbone=tiny_backbone, sampling=sampling), references(root))


@pytest.mark.parametrize("offload", [False, True])
def test_networks_move_only_when_asked_to(
    tiny_backbone: Backbone, root: Path, monkeypatch: pytest.MonkeyPatch, offload: bool
) -> None:
    made = module(tiny_backbone)
    made.diffusion = StableDiffusion.load(tiny_backbone, Runtime(offload=offload))
    fill, moved = AdapterReconstruction._fill_cache, []

    def on_an_accelerator(self: AdapterReconstruction) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(AdapterReconstruction, "device", SimpleNamespace(type="cuda"))
            fill(self)
        monkeypatch.setattr(made.model.unet, "to", lambda place: moved.append(str(place)) or made.model.unet)

    monkeypatch.setattr(AdapterReconstruction, "_fill_cache", on_an_accelerator)
    trainer().fit(made, references(root))
    assert moved[:1] == ([str(made.model.device)] if offload else []), "brought back for the first step"


def test_noisy_inputs_of_velocities_weigh_more_by_themselves(tiny_backbone: Backbone, tmp_path: Path) -> None:
    backbone = variant(tiny_backbone, tmp_path / "base", "scheduler", {"prediction_type": "v_prediction"})
    with pytest.raises(ValueError, match="`noisy_weight` is 3.0, .* predicts 'v_prediction'.* Leave it at 1"):
        StyleEncoderReconstruction(backbone=backbone, noisy_weight=3.0).configure_model()
