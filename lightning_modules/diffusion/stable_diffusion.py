"""Stable Diffusion with an IP-Adapter, frozen: everything that the methods share."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from lightning_modules.diffusion import encoders
from lightning_modules.diffusion.config import Backbone, MicroConditioning, ReferenceFit, Runtime, Size
from lightning_modules.diffusion.encoders import LatentMoments, Text, framed, frozen
from lightning_modules.diffusion.loading import load_parts
from lightning_modules.diffusion.schedulers import training_scheduler
from lightning_modules.diffusion.unet_inputs import Conditions, Frozen


class StableDiffusion(Frozen):
    """The frozen networks and what can be asked of them.

    A subclass is another family of UNets: it says what else its UNet reads (`conditions`), what stands for no text
    (`unconditional_text`) and which blocks carry the style (`BLOCKS`).

    Args:
        unet: UNet2DConditionModel with installed IP-Adapter attention.
        prompt_encoder: the UNet's own text encoder, prompts to `Text`.
        content_encoder: CLIP text tower paired with `image_encoder`.
        image_projection: P, from image features to image tokens.
        controlnet: StyleShot's content-fusion ControlNet; None: no picture follows a content image.
        pipeline_config: the options of diffusers' pipeline, from model_index.json.
    """

    BLOCKS: ClassVar[Mapping[str, Sequence[str]]] = {
        "style": ("up_blocks.1",),
        "style_layout": ("up_blocks.1", "mid_block", "down_blocks.2"),
    }
    """Presets of `target_blocks`."""

    def __init__(
        self,
        unet: Any,
        vae: Any,
        prompt_encoder: nn.Module,
        content_encoder: nn.Module,
        image_encoder: nn.Module,
        image_projection: nn.Module,
        scheduler_config: Mapping[str, Any],
        controlnet: nn.Module | None = None,
        pipeline_config: Mapping[str, Any] = MappingProxyType({}),
        runtime: Runtime = Runtime(),
        reference_fit: ReferenceFit = "crop",
    ) -> None:
        super().__init__(runtime.offload)
        self.unet, self.vae, self.controlnet = unet, vae, controlnet
        self.prompt_encoder, self.content_encoder = prompt_encoder, content_encoder
        self.image_encoder, self.image_projection = image_encoder, image_projection
        self.scheduler_config, self.pipeline_config = dict(scheduler_config), dict(pipeline_config)
        self.reference_fit: ReferenceFit = reference_fit
        self.requires_grad_(False).eval()
        for network in (*self.denoisers, self.vae) if runtime.channels_last else ():
            network.to(memory_format=torch.channels_last)
        for network in self.denoisers if runtime.compile else ():
            network.compile()
        if runtime.vae_tiling:
            self.vae.enable_tiling()

    @property
    def denoisers(self) -> list[Any]:
        """The networks of a denoising step."""
        return [self.unet] if self.controlnet is None else [self.unet, self.controlnet]

    @staticmethod
    def load(backbone: Backbone, runtime: Runtime = Runtime()) -> "StableDiffusion":
        """All networks that `backbone` names, as the class that its pipeline calls for; errors are `load_parts`'."""
        parts = load_parts(backbone)
        return NETWORKS[parts["pipeline_config"]["_class_name"]](**parts, runtime=runtime)

    @property
    def image_size(self) -> Size:
        """Height and width in pixels of the pictures that the UNet was trained for."""
        sides = self.unet.config.sample_size
        height, width = (sides, sides) if isinstance(sides, int) else sides
        return height * self.latent_step, width * self.latent_step

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`latent_shape_of` that size."""
        return self.latent_shape_of(*self.image_size)

    def latent_shape_of(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents; ValueError where the VAE makes none of that size."""
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

    def framed(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """References as `reference_fit` says."""
        return [framed(image, self.reference_fit) for image in images]

    def encode_images(self, images: Sequence[Image.Image], **options: Any) -> Tensor:
        """Image features e `(len(images), dim)`, float32, not normalised; `options` are those of the encoder."""
        return self._use(self.image_encoder)(self.framed(images), **options)

    def encode_contents(self, contents: Sequence[str]) -> Tensor:
        """Text features t `(len(contents), dim)` of the paired tower, float32, not normalised."""
        return self._use(self.content_encoder)(contents)

    def encode_prompts(self, prompts: Sequence[str]) -> Text:
        """Prompts as the UNet reads them, `len(prompts)` rows."""
        return self._use(self.prompt_encoder)(prompts)

    def unconditional_text(self, negative_prompt: str | None = None) -> Text:
        """The text of the unconditional half, one row; None: what the model was trained with."""
        return self.encode_prompts([negative_prompt or ""])

    @frozen
    def encode_latents(self, images: Sequence[Image.Image]) -> LatentMoments:
        """Moments of the scaled latents `(len(images), channels, height, width)`, float32, of crops of `image_size`."""
        pixels = torch.stack([encoders.to_pixels(image, self.image_size) for image in self.framed(images)])
        return encoders.encode_pixels(self._use(self.vae), pixels)

    def project(self, feature: Tensor) -> Tensor:
        """Image tokens P(v) `(batch, T, C)` of features `(batch, dim)` or `(batch, levels, dim)`; differentiable."""
        return self.image_projection(feature)

    def conditions(self, text: Text, image_tokens: Sequence[Tensor], time_ids: Sequence[int] = ()) -> Conditions:
        """What the UNet is told of each row: text, and tokens `(batch, T, C)` of each reference with an attention.

        `time_ids` are sizes and crop that the whole batch is told (`MicroConditioning`); read by SDXL alone.
        """
        return Conditions(text.states, image_tokens, {})

    def predict_noise(self, latents: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Noise, or what else the UNet predicts (`target`), in its precision, of noisy latents of the same shape.

        They are `(batch, channels, height, width)`, `timesteps` `()` or `(batch,)`, 0 .. 999. One call, differentiable,
        with the ControlNet's before it where pictures follow content images.
        """
        self._use(*self.denoisers)
        dtype = self.unet.conv_in.weight.dtype
        told, latents = conditions.to(dtype), latents.to(dtype)
        shared: dict[str, Any] = {"added_cond_kwargs": dict(told.added), "return_dict": False}
        fused = {"timestep_cond": told.guidance}
        # Mixed precision is for weights in float32: around others it would only keep more for the backward pass.
        mixed = nullcontext() if dtype == torch.float32 else torch.autocast(latents.device.type, enabled=False)
        with mixed:
            if (lines := told.content_map) is not None:
                assert self.controlnet is not None
                texts = {"encoder_hidden_states": lines.tokens, "controlnet_cond": lines.pixels}
                down, mid = self.controlnet(latents, timesteps, conditioning_scale=lines.scale, **texts, **shared)
                fused |= {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
            states = told.text_states, list(told.image_tokens)
            noise: Tensor = self.unet(latents, timesteps, encoder_hidden_states=states, **shared, **fused)[0]
        return noise

    @cached_property
    def training_scheduler(self) -> DDPMScheduler:
        """The forward process that the UNet was trained on."""
        return training_scheduler(self.scheduler_config)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Forward diffusion of scaled latents `(batch, ...)` to the training steps `timesteps` `(batch,)`."""
        return self.training_scheduler.add_noise(latents, noise, timesteps)

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

    def guidance_embedding(self, guidance_scale: float, rows: int) -> Tensor:
        """The guidance scale as sines and cosines `(rows, width)`, as such a UNet reads it (arXiv 2310.04378)."""
        embedding: Any = StableDiffusionPipeline.get_guidance_scale_embedding  # a method that reads nothing of `self`
        told = torch.tensor([guidance_scale - 1.0] * rows)
        return embedding(None, told, self.unet.config.time_cond_proj_dim).to(self.device)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `(batch, 3, height, width)`, float32 in 0 .. 1, of scaled latents; NaN where one is not finite."""
        return encoders.decode_latents(self._use(self.vae), latents, self.latent_step)


class StableDiffusionXL(StableDiffusion):
    """The frozen networks of SDXL and what can be asked of them."""

    BLOCKS: ClassVar[Mapping[str, Sequence[str]]] = {
        "style": ("up_blocks.0.attentions.1",),
        "style_layout": ("up_blocks.0.attentions.1", "down_blocks.2.attentions.1"),
    }

    @override
    def unconditional_text(self, negative_prompt: str | None = None) -> Text:
        text = super().unconditional_text(negative_prompt)
        if negative_prompt is None and self.pipeline_config.get("force_zeros_for_empty_prompt", True):
            return Text(*(torch.zeros_like(part) for part in text))
        return text

    @override
    def conditions(self, text: Text, image_tokens: Sequence[Tensor], time_ids: Sequence[int] = ()) -> Conditions:
        ids = time_ids or MicroConditioning().time_ids(self.image_size)
        rows = text.pooled.new_tensor(ids).expand(len(text.pooled), -1)
        return Conditions(text.states, image_tokens, {"text_embeds": text.pooled, "time_ids": rows})


NETWORKS = {"StableDiffusionPipeline": StableDiffusion, "StableDiffusionXLPipeline": StableDiffusionXL}
"""By the pipelines of `loading.FAMILIES`."""
