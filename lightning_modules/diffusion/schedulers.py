"""diffusers' schedulers with the parameters of a model, and which of them can draw with it."""

import inspect
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import diffusers
import torch
from diffusers import DDPMScheduler

from lightning_modules.diffusion.config import SamplingSettings

Config = Mapping[str, Any]
# What a configuration says of the model; a scheduler that does not read it would take the model for another one.
_OF_THE_MODEL: dict[str, Any] = {"prediction_type": "epsilon", "rescale_betas_zero_snr": False, "sigma_data": None}
_OF_THE_MODEL |= {"trained_betas": None, "num_train_timesteps": 1000}
_TRAINED_FOR = ("epsilon", "v_prediction", "sample")


def held_config(config: Config, mend: bool) -> dict[str, Any]:
    """The configuration as the model's pipeline holds it, the defaults of the model's own scheduler included.

    `mend`: as in StableDiffusionPipeline, but not that of SDXL, `steps_offset` becomes 1 and `clip_sample` false.
    """
    held = dict(config)
    own: Any = getattr(diffusers, str(config.get("_class_name")), None)
    with suppress(Exception):  # one that cannot be made, for want of a library, still tells its parameters
        held = dict(own.from_config(dict(config)).config)
        held["_use_default_values"] = sorted(held.get("_use_default_values", ()))
    mended = {"steps_offset": 1, "clip_sample": False} if mend else {}
    return held | {name: value for name, value in mended.items() if name in held}


def build_scheduler(name: str, config: Config, options: Config | None = None) -> Any:
    """A fresh diffusers scheduler of a known name, `from_config(config, **options)`."""
    # Another class takes over what the file says, and no defaults.
    kind, own = _scheduler_class(name), config.get("_class_name") == name
    known = {key: config[key] for key in config if not own or key != "_use_default_values"}
    return kind.from_config(known, **options or {})


def ready_scheduler(settings: SamplingSettings, config: Config) -> Any:
    """The scheduler of `settings` for a model with this configuration, its time steps set.

    They stay on the CPU, where they are the same for all devices, of which some have no float64. Raises ValueError
    where it cannot draw with the model, has no such options or does not read `eta`.
    """
    name, options = settings.scheduler, settings.scheduler_options or {}
    kind = _scheduler_class(name)
    # One that is missing, or whose library is, has no options to ask for.
    known = _parameters(kind) if kind and issubclass(kind, diffusers.SchedulerMixin) else list(options)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"`scheduler_options` names {', '.join(unknown)}, which {name} does not have. It has: {', '.join(known)}."
        )
    if reason := _reason_against(name, json.dumps(config), json.dumps(options), settings.steps):
        if not _reason_against(name, json.dumps(config)):
            raise ValueError(f"`scheduler` {name} cannot draw in {settings.steps} `steps` with {options}: {reason}.")
        raise ValueError(
            "`scheduler` must be a scheduler of diffusers that can draw with this model: one of "
            f"{', '.join(working_schedulers(config))}; got {name!r} ({reason})."
        )
    scheduler = build_scheduler(name, config, options)
    if settings.eta and "eta" not in _parameters(kind, "step"):
        able = [each for each in working_schedulers(config) if "eta" in _parameters(_scheduler_class(each), "step")]
        raise ValueError(
            f"`eta` is {settings.eta}, but {name} does not read it. Leave it at 0, or take as `scheduler` one of "
            f"{', '.join(able)}."
        )
    scheduler.set_timesteps(settings.steps)
    return scheduler


def step_options(scheduler: Any, eta: float, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """What diffusers' pipelines hand to each step, where it takes it; noise within a step is drawn row by row."""
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = [generator.initial_seed() for generator in generators]
    given = {"eta": eta, "generator": list(generators)}
    return {name: given[name] for name in _parameters(type(scheduler), "step") if name in given}


def working_schedulers(config: Config) -> list[str]:
    """Names of the schedulers that can draw with a model of this configuration."""
    text, before = json.dumps(config), diffusers.logging.get_verbosity()
    diffusers.logging.set_verbosity_error()  # of those that cannot, it says at length what they do not read
    try:
        return [name for name in dir(diffusers) if _scheduler_class(name) and not _reason_against(name, text)]
    finally:
        diffusers.logging.set_verbosity(before)


def training_scheduler(config: Config) -> DDPMScheduler:
    """The forward process of a model; ValueError where it was trained by another process than DDPM's."""
    if "beta_schedule" not in config:
        raise ValueError(
            f"`model` has the scheduler {config.get('_class_name')}, whose noise is not that of a DDPM: `fit` cannot "
            "train on it. Take a base whose scheduler_config.json has a `beta_schedule`."
        )
    return DDPMScheduler.from_config(dict(config))


def check_for_training(scheduler: DDPMScheduler, settings: SamplingSettings) -> None:
    """Raises ValueError for an unknown target, and for options of sampling that say how the model was trained."""
    if scheduler.config.prediction_type not in _TRAINED_FOR:
        raise ValueError(
            f"`model` predicts {scheduler.config.prediction_type!r} by its scheduler_config.json; `fit` can train on "
            f"a base that predicts one of {', '.join(_TRAINED_FOR)}."
        )
    names = {name for name in settings.scheduler_options or () if name in _OF_THE_MODEL or "beta" in name}
    if names:
        raise ValueError(
            f"`scheduler_options` sets {', '.join(sorted(names))}, which says how `model` was trained, but `fit` asks "
            "its scheduler_config.json for that. Write it there, in a copy of the model's folder."
        )


@lru_cache
def _reason_against(name: str, config: str, options: str = "{}", steps: int = 4) -> str:
    """Why a scheduler cannot draw with a model, "" if it can: tried on a small latent without the model."""
    held, generator = json.loads(config), torch.Generator().manual_seed(0)
    if _scheduler_class(name) is None:
        return "diffusers has no such scheduler"
    try:
        scheduler = build_scheduler(name, held, json.loads(options))
        for key, usual in _OF_THE_MODEL.items():
            if held.get(key, usual) != usual and key not in _parameters(type(scheduler)):
                return f"it does not read the `{key}` of the model, which is {held[key]}"
        scheduler.set_timesteps(steps)
        latents = torch.randn(1, 4, 2, 2, generator=generator) * scheduler.init_noise_sigma
        told = step_options(scheduler, 0.0, [generator])
        for timestep in scheduler.timesteps:
            noise = scheduler.scale_model_input(latents, timestep) / 2
            latents = scheduler.step(noise, timestep, latents, return_dict=False, **told)[0]
    except Exception as error:  # of many kinds, by which diffusers says what is amiss
        return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
    return "" if latents.isfinite().all() else "the result is not finite"


def _scheduler_class(name: str) -> Any:
    """diffusers' class of that name, which may say that a library is missing; None: it has none."""
    kind = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    return kind if inspect.isclass(kind) else None


def _parameters(kind: Any, method: str = "__init__") -> list[str]:
    """Names of what a method takes; the noise of a step has the seed of its picture."""
    names = inspect.signature(getattr(kind, method)).parameters
    return [name for name in names if name not in ("self", "noise_sampler_seed")]
