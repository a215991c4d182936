"""Batched sampling with classifier-free guidance, each row with its own prompt, reference and seed."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from lightning_modules.diffusion.config import SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.ip_adapter import block_scales, scaled
from lightning_modules.diffusion.schedulers import ready_scheduler, step_options
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.unet_inputs import Conditions, ContentMap, constant_keys, linear_as_convolution


@torch.no_grad()
def sample(
    model: StableDiffusion,
    settings: SamplingSettings,
    text: Text,
    features: Tensor | Sequence[Tensor],
    seeds: Sequence[int],
    negative_text: Text | None = None,
    negative_features: Tensor | None = None,
    shares: Sequence[float] = (1.0,),
    content_maps: Tensor | None = None,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Samples one picture a row, `(batch, 3, height, width)`, float32 in 0 .. 1, whatever the rest of the batch is.

    Args:
        text: encoded prompts, one row a picture.
        features: image features v `(batch, dim)` or `(batch, levels, dim)`, as a condition left them; or a list of
            these, of which each has image tokens and an attention of its own.
        seeds: seed of the initial noise of each row.
        negative_text: encoded negative prompt, one row; None: encoded here.
        negative_features: image features `(batch or 1, ...)` of the unconditional half; None: zeros, which give P(0).
        shares: weight of each of the listed features.
        content_maps: lines `(batch, 3, height, width)`, 0 .. 1, that the pictures follow through the content-fusion
            ControlNet, in the size of the pictures; None: they follow prompt and style alone.
        progress: called after each denoising step with the pictures that it is worth, rows / steps.

    Raises ValueError for a scheduler, block, size or content map that cannot be drawn, or different numbers of rows.
    """
    sets = [features] if isinstance(features, Tensor) else list(features)
    _check_rows(text, sets, seeds, shares, negative_features, content_maps)
    size, told = picture_size(model, settings, content_maps), settings.micro_conditioning
    tokens = [model.project(each) for each in sets]
    conditional, unconditional, lines = model.conditions(text, tokens, told.time_ids(size)), None, None
    if content_maps is not None:
        style = torch.tensordot(torch.tensor(shares).to(tokens[0]), torch.stack(tokens), dims=1)
        lines = ContentMap(content_maps.to(model.device), style, settings.content_scale)
        conditional = conditional._replace(content_map=lines)
    if settings.guided and not model.embeds_guidance:
        negative = model.unconditional_text(settings.negative_prompt) if negative_text is None else negative_text
        against = torch.zeros_like(sets[0][:1]) if negative_features is None else negative_features
        nothing, no_text = model.project(against).expand(len(seeds), -1, -1), negative.expand(len(seeds))
        unconditional = model.conditions(no_text, [nothing] * len(sets), told.negative_time_ids(size))
        unconditional = unconditional._replace(content_map=lines and lines._replace(tokens=nothing))
    scale = block_scales(settings.scale, settings.target_blocks, model.BLOCKS)
    with ExitStack() as stack, scaled(model.unet, scale, shares):
        # Lightning's half precision changes torch's default type, in which schedulers would lose their time grid.
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        return model.decode(denoise(model, settings, conditional, unconditional, seeds, size, progress))


def picture_size(
    model: StableDiffusion, settings: SamplingSettings, content_maps: Tensor | None = None
) -> tuple[int, int]:
    """Height and width of the pictures: of the settings, of the content maps, or what the model was trained for."""
    if content_maps is None:
        return settings.height or model.image_size[0], settings.width or model.image_size[1]
    if model.controlnet is None:
        raise ValueError(
            "`content_maps` are read by StyleShot's content-fusion ControlNet, which is not loaded. Give "
            "`--model.backbone.content_fusion true` with a StyleShot backbone, or leave `content_images` out."
        )
    height, width = content_maps.shape[2:]
    if (height, width) != (settings.height or height, settings.width or width):
        raise ValueError(
            f"`content_maps` must have the size of the pictures, {settings.height} x {settings.width} by the "
            f"settings; got {height} x {width}."
        )
    return height, width


def denoise(
    model: StableDiffusion,
    settings: SamplingSettings,
    conditional: Conditions,
    unconditional: Conditions | None,
    seeds: Sequence[int],
    size: tuple[int, int] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """The denoising loop with the model's current scales: scaled latents `(batch, channels, height, width)`, float32.

    Under guidance, both halves go through the UNet in one call: `eps_u + g * (eps_c - eps_u)`
    (Ho & Salimans, arXiv 2207.12598). `size` is height and width of the pictures; None: those of the settings.
    `progress` as of `sample`.
    """
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    scheduler = ready_scheduler(settings, model.scheduler_config)
    shape = model.latent_shape_of(*(size or picture_size(model, settings)))
    latents = initial_noise(generators, shape).to(model.device) * scheduler.init_noise_sigma
    # Everything that stays the same over the steps is prepared here, in the UNet's precision.
    rows = conditional if unconditional is None else unconditional.joined(conditional)
    if model.embeds_guidance:
        rows = rows._replace(guidance=model.guidance_embedding(settings.guidance_scale, len(seeds)))
    rows = rows.to(model.unet.conv_in.weight.dtype)
    options = step_options(scheduler, settings.eta, generators)
    with ExitStack() as stack:
        # What a step need not do or can do faster. Not by where the weights lie: with offload that changes later.
        for network in model.denoisers if model.device.type == "cpu" else ():
            stack.enter_context(linear_as_convolution(network))
        stack.enter_context(constant_keys(*model.denoisers))
        for timestep in scheduler.timesteps:
            inputs = scheduler.scale_model_input(latents, timestep)
            if unconditional is not None:
                inputs = torch.cat([inputs, inputs])
            noise = model.predict_noise(inputs, timestep, rows).to(latents.dtype)
            if unconditional is not None:
                eps_u, eps_c = noise.chunk(2)
                noise = eps_u + settings.guidance_scale * (eps_c - eps_u)
            # Solvers multiply matrices too: mixed precision belongs to the networks, not to them.
            with torch.autocast(latents.device.type, enabled=False):
                latents = scheduler.step(noise, timestep, latents, return_dict=False, **options)[0]
            if progress is not None:
                progress(len(seeds) / len(scheduler.timesteps))
    return latents


def initial_noise(generators: Sequence[torch.Generator], shape: tuple[int, int, int]) -> Tensor:
    """Standard normal noise `(len(generators), *shape)`, float32, each row from its own generator, on the CPU."""
    return torch.cat([torch.randn((1, *shape), generator=generator, dtype=torch.float32) for generator in generators])


def _check_rows(
    text: Text,
    features: Sequence[Tensor],
    seeds: Sequence[int],
    shares: Sequence[float],
    negatives: Tensor | None,
    content_maps: Tensor | None,
) -> None:
    rows = [len(text.states), *map(len, features), len(seeds)]
    if len(set(rows)) > 1 or rows[0] == 0:
        raise ValueError(
            "`text`, `features` and `seeds` must have one row for each picture and at least one; "
            f"got {rows[0]}, {', '.join(map(str, rows[1:-1]))} and {rows[-1]} rows."
        )
    if not all(0 <= seed < 2**32 for seed in seeds):
        raise ValueError(
            f"`seeds` must be from 0 to {2**32 - 1}, the bits that torch's generator reads; got {list(seeds)}."
        )
    if len(shares) != len(features):
        raise ValueError(
            f"`shares` must have one number for each of the {len(features)} listed `features`; got {list(shares)}."
        )
    if negatives is not None and len(negatives) not in (1, rows[0]):
        raise ValueError(
            f"`negative_features` must have one row, or one for each of the {rows[0]} pictures; got {len(negatives)} "
            "rows."
        )
    if content_maps is not None and len(content_maps) != len(seeds):
        raise ValueError(
            f"`content_maps` must have one row for each of the {len(seeds)} pictures; got {len(content_maps)}. Draw "
            "pictures without a content image by themselves."
        )
