"""Every scheduler of diffusers that can draw draws as in diffusers' pipeline; the others are refused by name."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diffusers import DDIMScheduler, DDPMScheduler, PNDMScheduler

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.schedulers import build_scheduler, held_config, ready_scheduler, working_schedulers
from tests.float64 import assert_same
from tests.unit.lightning_modules.diffusion.stock import Exact, load_exact, variant

pytestmark = pytest.mark.usefixtures("float64")

SETTINGS = SamplingSettings(steps=4, guidance_scale=3.0)
_NAMES = """
    CMStochasticIterative CogVideoXDDIM DDIMInverse DDIMParallel DDIM DDPMParallel DDPM DEISMultistep
    DPMSolverMultistepInverse DPMSolverMultistep DPMSolverSinglestep EDMDPMSolverMultistep EDMEuler
    EulerAncestralDiscrete EulerDiscrete HeunDiscrete IPNDM KDPM2AncestralDiscrete KDPM2Discrete LCM
    LMSDiscrete PNDM SASolver TCD UniPCMultistep
"""
WORKING = [f"{name}Scheduler" for name in _NAMES.split()]
VELOCITY = {"prediction_type": "v_prediction"}
ZERO_SNR = {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
EPSILON_ALONE = {"CMStochasticIterativeScheduler", "IPNDMScheduler"}


@pytest.fixture(scope="module")
def exact(tiny_backbone: Backbone) -> Exact:
    return load_exact(tiny_backbone)


@pytest.fixture(scope="module")
def config(exact: Exact) -> dict[str, Any]:
    return exact.pair.model.scheduler_config


@pytest.mark.parametrize("steps", [4, 20])
@pytest.mark.parametrize("name", WORKING)
def test_each_draws_as_diffusers_does(exact: Exact, config: dict[str, Any], name: str, steps: int) -> None:
    settings = replace(SETTINGS, scheduler=name, steps=steps)
    # Some devices have no float64, in which some schedulers hold their steps.
    assert ready_scheduler(settings, config).timesteps.device.type == "cpu"
    assert_same(exact.own(settings), exact.stock(settings))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("UniPCMultistepScheduler", {"use_karras_sigmas": True}),
        ("EulerDiscreteScheduler", {"timestep_spacing": "trailing", "use_exponential_sigmas": True}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}),
        ("DDIMScheduler", ZERO_SNR | VELOCITY),
        ("PNDMScheduler", {"skip_prk_steps": True}),
        ("DDPMScheduler", {"thresholding": True, "variance_type": "fixed_large"}),
        ("EulerAncestralDiscreteScheduler", VELOCITY),
    ],
)
def test_options_are_those_of_from_config(exact: Exact, name: str, options: dict[str, Any]) -> None:
    settings = replace(SETTINGS, scheduler=name, scheduler_options=options)
    own = exact.own(settings)
    assert_same(own, exact.stock(settings))
    assert float((own - exact.own(replace(settings, scheduler_options=None))).abs().max()) > 1e-3, "they must matter"


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["DDIMScheduler", "TCDScheduler"])
def test_eta_reaches_each_step(exact: Exact, name: str, eta: float) -> None:
    settings = replace(SETTINGS, scheduler=name, eta=eta)
    assert_same(exact.own(settings), exact.stock(settings))


def test_those_that_can_draw_are_told_by_trying(config: dict[str, Any]) -> None:
    needing = {"CosineDPMSolverMultistepScheduler", "DPMSolverSDEScheduler"}  # torchsde
    assert set(working_schedulers(config)) - needing == set(WORKING)
    assert set(working_schedulers({**config, **VELOCITY})) - needing == set(WORKING) - EPSILON_ALONE
    unread = set(WORKING) - set(working_schedulers({**config, "rescale_betas_zero_snr": True}))
    assert {"PNDMScheduler", "LMSDiscreteScheduler"} <= unread and "UniPCMultistepScheduler" not in unread


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": "Euler"}, "must be .* one of CMSto.*, UniPC.*; got 'Euler' .*no such"),
        ({"scheduler": "UNet2DConditionModel"}, "must be .*DDIMScheduler.*no such"),
        ({"scheduler": "FlowMatchEulerDiscreteScheduler"}, "must be .*DDIMScheduler.*init_noise_sigma"),
        ({"scheduler": "RePaintScheduler"}, "must be .*DDIMScheduler.*original_image"),
        ({"scheduler": "VQDiffusionScheduler"}, "must be .*DDIMScheduler.*num_vec_classes"),
        ({"steps": 60, "scheduler": "LCMScheduler"}, "`scheduler` LCMScheduler cannot draw in 60 `steps` .*50"),
        ({"steps": 1000}, "`scheduler` UniPCMultistepScheduler cannot draw in 1000 `steps`"),
        ({"scheduler_options": {"timestep_spacing": "middle"}}, r"cannot draw in 4 `steps` with \{.*middle"),
        ({"scheduler_options": {"karras": True}}, "`scheduler_options` names karras, .* It has: .*use_karras_sigmas"),
        ({"scheduler": "DDIMScheduler", "scheduler_options": ZERO_SNR}, "cannot draw in 4 .* not finite"),
        ({"eta": 0.5}, "`eta` is 0.5, but UniPCMultistepScheduler .* one of .*DDIMScheduler.*TCDScheduler"),
    ],
)
def test_what_cannot_draw_is_refused(config: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready_scheduler(replace(SETTINGS, **changes), config)


@pytest.mark.skipif(importlib.util.find_spec("torchsde") is not None, reason="torchsde is installed")
def test_a_missing_library_is_named(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got 'DPMSolverSDEScheduler' .*pip install torchsde"):
        ready_scheduler(replace(SETTINGS, scheduler="DPMSolverSDEScheduler"), config)


@pytest.mark.skipif(importlib.util.find_spec("torchsde") is None, reason="torchsde is not installed")
def test_brownian_noise_is_that_of_each_rows_seed(exact: Exact) -> None:
    settings = replace(SETTINGS, scheduler="DPMSolverSDEScheduler")
    seeded = replace(settings, scheduler_options={"noise_sampler_seed": 7})
    assert_same(exact.own(settings), exact.stock(seeded))


@pytest.mark.parametrize(
    "changes", [{"steps_offset": 0, "clip_sample": True}, {"steps_offset": ..., "clip_sample": ...}]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_configuration_is_what_the_pipeline_makes_of_it(
    tiny_backbone: Backbone, tmp_path: Path, exact: Exact, changes: dict[str, Any]
) -> None:
    folder = variant(tiny_backbone, tmp_path / "a", "scheduler", changes).model
    own = type(exact.pipe).from_pretrained(folder).scheduler  # a DDIM, which a user may exchange for another
    held = held_config(DDIMScheduler.load_config(f"{folder}/scheduler"), mend=True)
    for theirs in (own, *(kind.from_config(own.config) for kind in (DDPMScheduler, PNDMScheduler))):
        ours = build_scheduler(type(theirs).__name__, held)
        assert all(ours.config[key] == value for key, value in theirs.config.items() if not key.startswith("_"))
