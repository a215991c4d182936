"""Stable Diffusion with an IP-Adapter, frozen: everything that the methods share."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor, nn

from lightning_modules.diffusion.config import Backbone, ReferenceFit, Runtime, Size
from lightning_modules.diffusion.encoders import ContentEncoder, ImageEncoder, Text, frozen
from lightning_modules.diffusion.framing import framed
from lightning_modules.diffusion.latents import LatentMoments, to_pixels, vae_rows
from lightning_modules.diffusion.scales import Scale, set_scales
from lightning_modules.diffusion.schedulers import training_scheduler
from lightning_modules.diffusion.unet_inputs import Conditions


class StableDiffusion(nn.Module):
    """The frozen networks and what can be asked of them; always in evaluation mode, never trained.

    A subclass is another family of UNets: it says how its prompts are encoded (`prompt_encoder`), what else its UNet
    reads (`conditions`) and which blocks carry the style (`BLOCKS`).

    Args:
        unet: UNet2DConditionModel with installed IP-Adapter attention.
        vae: AutoencoderKL.
        prompt_encoder: the UNet's own text encoder, prompts to `Text`.
        content_encoder: CLIP text tower paired with `image_encoder`.
        image_encoder: CLIP image encoder.
        image_projection: P, from image features to image tokens.
        scheduler_config: configuration from which schedulers are built.
        controlnet: StyleShot's content-fusion ControlNet; None: no picture follows a content image.
        pipeline_config: the options of diffusers' pipeline, from model_index.json.
        runtime: how the networks run.
        reference_fit: how references become squares, see `Backbone`.
    """

    BLOCKS: ClassVar[Mapping[str, Sequence[str]]] = {
        "style": ("up_blocks.1",),
        "style_layout": ("up_blocks.1", "mid_block", "down_blocks.2"),
    }
    """Presets of `target_blocks`."""
    _place: Tensor  # empty; lies where the networks work

    def __init__(
        self,
        unet: Any,
        vae: Any,
        prompt_encoder: nn.Module,
        content_encoder: ContentEncoder,
        image_encoder: ImageEncoder,
        image_projection: nn.Module,
        scheduler_config: Mapping[str, Any],
        controlnet: nn.Module | None = None,
        pipeline_config: Mapping[str, Any] = MappingProxyType({}),
        runtime: Runtime = Runtime(),
        reference_fit: ReferenceFit = "crop",
    ) -> None:
        super().__init__()
        self.unet = unet
        self.vae = vae
        self.prompt_encoder = prompt_encoder
        self.content_encoder = content_encoder
        self.image_encoder = image_encoder
        self.image_projection = image_projection
        self.controlnet = controlnet
        self.scheduler_config = dict(scheduler_config)
        self.pipeline_config = dict(pipeline_config)
        self.register_buffer("_place", torch.empty(0), persistent=False)
        self.reference_fit = reference_fit
        self._offload = runtime.offload
        self._at_work: list[nn.Module] = []  # a list, for a module would become a part of this one
        self.requires_grad_(False).eval()
        self._prepare(runtime)

    def _prepare(self, runtime: Runtime) -> None:
        if runtime.channels_last:
            for network in (*self.denoisers, self.vae):
                network.to(memory_format=torch.channels_last)
        if runtime.vae_tiling:
            self.vae.enable_tiling()
        if runtime.compile:
            for network in self.denoisers:
                network.compile()

    @property
    def denoisers(self) -> list[Any]:
        """The networks of a denoising step."""
        return [self.unet] if self.controlnet is None else [self.unet, self.controlnet]

    @staticmethod
    def load(backbone: Backbone, runtime: Runtime = Runtime()) -> "StableDiffusion":
        """Loads all networks that `backbone` names, as the class that its pipeline calls for.

        Raises:
            FileNotFoundError: a name leads nowhere.
            ValueError: the parts do not fit together, or the pipeline is of an unknown class.
        """
        from lightning_modules.diffusion.loading import load

        return load(backbone, runtime)

    def train(self, mode: bool = True) -> "StableDiffusion":
        """Stays in evaluation mode: a frozen network has no training mode."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the networks work."""
        return self._place.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follows to another device or precision; with offload the large networks follow to the latter alone.

        They come to the device only when they are at work.
        """
        if not self._offload:
            return super()._apply(fn, recurse)
        self._send_away()
        asked = {fn(torch.empty(0, dtype=dtype)).dtype for dtype in (torch.float16, torch.float32)}
        if len(asked) == 1:  # whatever a tensor had before: another precision
            [dtype] = asked
            for part in self.children():
                part.to(dtype=dtype)
        self.image_projection._apply(fn)
        return super()._apply(fn, recurse=False)

    def _use(self, *parts: nn.Module) -> None:
        """With offload, brings networks to the device and sends those before them away."""
        if self._offload and parts[0] not in self._at_work:
            self._send_away()
            self._at_work = [part.to(self.device) for part in parts]

    def _send_away(self) -> None:
        for part in self._at_work:
            part.to("cpu")
        self._at_work = []

    @property
    def image_size(self) -> Size:
        """Height and width in pixels of the pictures that the UNet was trained for."""
        sides = self.unet.config.sample_size
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return height * self.latent_step, width * self.latent_step

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents of one picture of that size."""
        return self.latent_shape_of(*self.image_size)

    def latent_shape_of(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of the latents of one picture.

        Raises:
            ValueError: the VAE cannot make a picture of that size.
        """
        factor = self.latent_step
        if height < factor or width < factor or height % factor or width % factor:
            raise ValueError(
                f"`height` and `width` must be multiples of {factor}, the step of this VAE; got {height} x {width}. "
                f"The model was trained for {self.image_size[0]} x {self.image_size[1]}."
            )
        return int(self.unet.config.in_channels), height // factor, width // factor

    @property
    def latent_step(self) -> int:
        """Pixels to one side of a latent's element; height and width of a picture are multiples of it."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def encode_images(self, images: Sequence[Image.Image], **options: Any) -> Tensor:
        """Image features e `(len(images), dim)`, float32, not normalised; `options` are those of the encoder."""
        self._use(self.image_encoder)
        features: Tensor = self.image_encoder(self.framed(images), **options)
        return features

    def framed(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """References as `reference_fit` says."""
        return [framed(image, self.reference_fit) for image in images]

    def encode_contents(self, contents: Sequence[str]) -> Tensor:
        """Text features t `(len(contents), dim)` of the paired tower, float32, not normalised."""
        self._use(self.content_encoder)
        features: Tensor = self.content_encoder(contents)
        return features

    def encode_prompts(self, prompts: Sequence[str]) -> Text:
        """Prompts as the UNet reads them, `len(prompts)` rows."""
        self._use(self.prompt_encoder)
        text: Text = self.prompt_encoder(prompts)
        return text

    def unconditional_text(self, negative_prompt: str | None = None) -> Text:
        """The text of the unconditional half, one row; None: what the model was trained with."""
        return self.encode_prompts([negative_prompt or ""])

    @frozen
    def encode_latents(self, images: Sequence[Image.Image]) -> LatentMoments:
        """Moments of the scaled latents `(len(images), channels, height, width)`, float32.

        Images are brought to `image_size` by a centre crop.
        """
        self._use(self.vae)
        pixels = torch.stack([to_pixels(image, self.image_size) for image in self.framed(images)])
        moments = [self._encode_pixels(chunk) for chunk in pixels.split(vae_rows(prod(self.image_size)))]
        mean, std = (torch.cat(parts).float() for parts in zip(*moments, strict=True))
        scaling, (shift, spread) = self.vae.config.scaling_factor, self._latent_statistics(mean)
        return LatentMoments((mean - shift) * scaling / spread, std * scaling / spread)

    def _latent_statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread `(channels or 1, 1, 1)` by which the VAE's latents are normalised: 0 and 1 if it has none."""
        config = self.vae.config
        parts = config.latents_mean or [0.0], config.latents_std or [1.0]
        mean, std = (torch.tensor(part).view(-1, 1, 1).to(latents) for part in parts)
        return mean, std

    def _encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.vae.decoder.conv_in.weight
        with torch.autocast(weight.device.type, enabled=False):  # some VAEs overflow in float16
            distribution = self.vae.encode(pixels.to(weight)).latent_dist
        return distribution.mean, distribution.std

    def project(self, feature: Tensor) -> Tensor:
        """Image tokens P(v) `(batch, T, C)` of features `(batch, dim)` or `(batch, levels, dim)`; differentiable."""
        tokens: Tensor = self.image_projection(feature)
        return tokens

    def conditions(self, text: Text, image_tokens: Sequence[Tensor], time_ids: Sequence[int] = ()) -> Conditions:
        """What the UNet is told of each row.

        Args:
            text: encoded prompts, `batch` rows.
            image_tokens: one `(batch, T, C)` for each reference with an attention of its own.
            time_ids: sizes and crop that the whole batch is told (`MicroConditioning`); read by SDXL alone.
        """
        return Conditions(text.states, image_tokens, {})

    def predict_noise(self, latents: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """One UNet call.

        Args:
            latents: noisy latents `(batch, channels, height, width)`.
            timesteps: `()` or `(batch,)`, 0 .. 999.
            conditions: of `batch` rows, the image tokens already projected: doing so inside would repeat it every step.

        Returns:
            Predicted noise, or what else the UNet was trained to predict (`target`), `(batch, channels, height, width)`
            in the UNet's precision; differentiable.
        """
        self._use(*self.denoisers)
        dtype = self.unet.conv_in.weight.dtype
        told, latents = conditions.to(dtype), latents.to(dtype)
        # Mixed precision is for weights in float32: around others it would only keep more for the backward pass.
        mixed = nullcontext() if dtype == torch.float32 else torch.autocast(latents.device.type, enabled=False)
        with mixed:
            noise: Tensor = self.unet(
                latents,
                timesteps,
                encoder_hidden_states=(told.text_states, list(told.image_tokens)),
                timestep_cond=told.guidance,
                added_cond_kwargs=dict(told.added),
                return_dict=False,
                **self._fused(latents, timesteps, told),
            )[0]
        return noise

    def _fused(self, latents: Tensor, timesteps: Tensor, told: Conditions) -> dict[str, Any]:
        """What the content-fusion ControlNet adds to the UNet's activations, by diffusers' names."""
        content_map = told.content_map
        if content_map is None:
            return {}
        assert self.controlnet is not None
        down, mid = self.controlnet(
            latents,
            timesteps,
            encoder_hidden_states=content_map.tokens,
            controlnet_cond=content_map.pixels,
            conditioning_scale=content_map.scale,
            added_cond_kwargs=dict(told.added),
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}

    @cached_property
    def training_scheduler(self) -> DDPMScheduler:
        """The forward process that the UNet was trained on."""
        return training_scheduler(self.scheduler_config)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Forward diffusion of scaled latents `(batch, ...)` to the training steps `timesteps` `(batch,)`."""
        noisy: Tensor = self.training_scheduler.add_noise(latents, noise, timesteps)
        return noisy

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the UNet was trained to predict of `add_noise` of the same arguments: noise, velocity or latents."""
        kind = self.training_scheduler.config.prediction_type
        if kind == "v_prediction":
            return self.training_scheduler.get_velocity(latents, noise, timesteps)
        return noise if kind == "epsilon" else latents

    @property
    def embeds_guidance(self) -> bool:
        """Whether the UNet is told the guidance scale, as those of latent consistency models are."""
        return self.unet.config.time_cond_proj_dim is not None

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `(batch, 3, height, width)`, float32 in 0 .. 1, of scaled latents; NaN where one is not finite."""
        self._use(self.vae)
        finite = latents.isfinite().flatten(1).all(1)
        shift, spread = self._latent_statistics(latents)
        latents = latents * spread / self.vae.config.scaling_factor + shift
        weight = self.vae.decoder.conv_in.weight
        pixels = latents.shape[-1] * latents.shape[-2] * self.latent_step**2
        with torch.autocast(weight.device.type, enabled=False):
            chunks = [self.vae.decode(chunk.to(weight)).sample for chunk in latents.split(vae_rows(pixels))]
        decoded = torch.cat(chunks).float()
        finite &= decoded.isfinite().flatten(1).all(1)
        return (decoded / 2 + 0.5).clamp(0, 1).where(finite[:, None, None, None], torch.nan)

    def set_scales(self, scale: Scale) -> None:
        """Sets the weight of the image tokens, one for all layers or one a named block (`scales.set_scales`)."""
        set_scales(self.unet, scale)
