"""Batched sampling with classifier-free guidance, each row with its own prompt, reference and seed."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import diffusers
import torch
from torch import Tensor

from lightning_modules.diffusion.config import SamplingSettings
from lightning_modules.diffusion.scales import scaled
from lightning_modules.diffusion.stable_diffusion import StableDiffusion

_COMMON_SCHEDULERS = (
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)


class Conditions(NamedTuple):
    """What each row of the UNet attends to."""

    text_states: Tensor  # (batch, tokens, text_dim)
    image_tokens: Tensor  # (batch, T, C)


@torch.no_grad()
def sample(
    model: StableDiffusion,
    settings: SamplingSettings,
    text_states: Tensor,
    features: Tensor,
    seeds: Sequence[int],
    negative_states: Tensor | None = None,
) -> Tensor:
    """Samples one picture a row; a row depends on its own arguments only, never on the rest of the batch.

    Args:
        model: the frozen networks; their scales are the same after the call as before.
        settings: scheduler, steps, guidance and scales.
        text_states: encoded prompts `(batch, tokens, text_dim)`.
        features: image features v `(batch, dim)` or `(batch, levels, dim)`, as a condition left them.
        seeds: seed of the initial noise of each row.
        negative_states: encoded negative prompt `(1, tokens, text_dim)`; None: encoded here.

    Returns:
        Pictures `(batch, 3, height, width)`, float32 in 0 .. 1.

    Raises:
        ValueError: unknown scheduler or block name, or arguments of different lengths.
    """
    _check_rows(text_states, features, seeds)
    conditional = Conditions(text_states, model.project(features))
    unconditional = _unconditional(model, settings, features, negative_states) if settings.guided else None
    with _float32_default(), scaled(model.unet, settings.scale):
        latents = denoise(model, settings, conditional, unconditional, seeds)
        return model.decode(latents)


def denoise(
    model: StableDiffusion,
    settings: SamplingSettings,
    conditional: Conditions,
    unconditional: Conditions | None,
    seeds: Sequence[int],
) -> Tensor:
    """The denoising loop with the model's current scales: scaled latents `(batch, channels, height, width)`, float32.

    Under guidance, both halves go through the UNet in one call: `eps_u + g * (eps_c - eps_u)`
    (Ho & Salimans, arXiv 2207.12598).
    """
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    scheduler = build_scheduler(settings.scheduler, model.scheduler_config)
    scheduler.set_timesteps(settings.steps, device=model.device)
    latents = initial_noise(generators, model.latent_shape).to(model.device) * scheduler.init_noise_sigma
    # Everything that stays the same over the steps is prepared here, in the UNet's precision.
    rows = conditional if unconditional is None else _joined(unconditional, conditional)
    dtype = model.unet.conv_in.weight.dtype
    text_states, image_tokens = rows.text_states.to(dtype), rows.image_tokens.to(dtype)
    options = _step_options(scheduler, generators)
    for timestep in scheduler.timesteps:
        inputs = scheduler.scale_model_input(latents, timestep)
        if unconditional is not None:
            inputs = torch.cat([inputs, inputs])
        noise = model.predict_noise(inputs, timestep, text_states, image_tokens).to(latents.dtype)
        if unconditional is not None:
            eps_u, eps_c = noise.chunk(2)
            noise = eps_u + settings.guidance_scale * (eps_c - eps_u)
        # Solvers multiply matrices too: mixed precision belongs to the networks, not to them.
        with torch.autocast(latents.device.type, enabled=False):
            latents = scheduler.step(noise, timestep, latents, return_dict=False, **options)[0]
    return latents


def build_scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh diffusers scheduler of class `name`, with the parameters of a model's own scheduler.

    Raises:
        ValueError: diffusers has no scheduler of that name.
    """
    scheduler: Any = getattr(diffusers, name, None)
    if not _is_scheduler(scheduler):
        raise ValueError(
            f"`scheduler` must be the class name of a diffusers scheduler, such as {', '.join(_COMMON_SCHEDULERS)}; "
            f"got {name!r}."
        )
    return scheduler.from_config(dict(config))


def _is_scheduler(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, diffusers.SchedulerMixin)


def initial_noise(generators: Sequence[torch.Generator], shape: tuple[int, int, int]) -> Tensor:
    """Standard normal noise `(len(generators), *shape)`, float32: each row from its own generator.

    Drawn on the CPU, so that a seed gives the same picture on every device.
    """
    return torch.cat([torch.randn((1, *shape), generator=generator, dtype=torch.float32) for generator in generators])


def _unconditional(
    model: StableDiffusion, settings: SamplingSettings, features: Tensor, negative_states: Tensor | None
) -> Conditions:
    """The negative prompt and P(0), for as many rows as there are features."""
    if negative_states is None:
        negative_states = model.encode_prompts([settings.negative_prompt])
    rows = features.shape[0]
    nothing = model.project(torch.zeros_like(features[:1]))
    return Conditions(negative_states.expand(rows, -1, -1), nothing.expand(rows, -1, -1))


def _joined(unconditional: Conditions, conditional: Conditions) -> Conditions:
    return Conditions(*(torch.cat(pair) for pair in zip(unconditional, conditional, strict=True)))


def _step_options(scheduler: Any, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """Schedulers that add noise in every step draw it row by row too."""
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    return {"generator": list(generators)} if takes_generator else {}


@contextmanager
def _float32_default() -> Iterator[None]:
    """Lightning's half precision changes torch's default type, in which schedulers would lose their time grid."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _check_rows(text_states: Tensor, features: Tensor, seeds: Sequence[int]) -> None:
    rows = (text_states.shape[0], features.shape[0], len(seeds))
    if len(set(rows)) > 1 or rows[0] == 0:
        raise ValueError(
            "`text_states`, `features` and `seeds` must have one row for each picture and at least one; "
            f"got {rows[0]}, {rows[1]} and {rows[2]} rows."
        )
