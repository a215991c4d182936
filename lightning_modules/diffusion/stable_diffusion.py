"""Stable Diffusion with an IP-Adapter, frozen: everything that the methods share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from diffusers import DDPMScheduler
from PIL import Image, ImageOps
from torch import Tensor, nn

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.encoders import ContentEncoder, ImageEncoder, PromptEncoder, frozen
from lightning_modules.diffusion.scales import Scale, set_scales

# Pixels that the VAE handles in one call: four images of 512 x 512, or 256 of 64 x 64.
_VAE_PIXELS = 2**20


class LatentMoments(NamedTuple):
    """Mean and standard deviation `(batch, channels, height, width)` of scaled latents."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Latents drawn from the moments, with noise drawn on the generator's device."""
        device = generator.device if generator is not None else self.mean.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=torch.float32)
        return self.mean + self.std * noise.to(self.mean)


class StableDiffusion(nn.Module):
    """The frozen networks and what can be asked of them; always in evaluation mode, never trained.

    Args:
        unet: UNet2DConditionModel with installed IP-Adapter attention.
        vae: AutoencoderKL.
        prompt_encoder: Stable Diffusion's text encoder.
        content_encoder: CLIP text tower paired with `image_encoder`.
        image_encoder: CLIP image encoder.
        image_projection: P, from image features to image tokens.
        scheduler_config: configuration from which schedulers are built.
    """

    def __init__(
        self,
        unet: Any,
        vae: Any,
        prompt_encoder: PromptEncoder,
        content_encoder: ContentEncoder,
        image_encoder: ImageEncoder,
        image_projection: nn.Module,
        scheduler_config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.unet = unet
        self.vae = vae
        self.prompt_encoder = prompt_encoder
        self.content_encoder = content_encoder
        self.image_encoder = image_encoder
        self.image_projection = image_projection
        self.scheduler_config = dict(scheduler_config)
        self.training_scheduler = DDPMScheduler.from_config(self.scheduler_config)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, backbone: Backbone) -> "StableDiffusion":
        """Loads all networks that `backbone` names.

        Raises:
            FileNotFoundError: a name leads nowhere.
            ValueError: the parts do not fit together.
        """
        from lightning_modules.diffusion.loading import load_parts

        return cls(**load_parts(backbone))

    def train(self, mode: bool = True) -> "StableDiffusion":
        """Stays in evaluation mode: a frozen network has no training mode."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        device: torch.device = self.unet.conv_in.weight.device
        return device

    @property
    def image_size(self) -> int:
        """Height and width of the pictures in pixels."""
        return int(self.unet.config.sample_size) * self._vae_factor

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents of one picture."""
        size = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), size, size

    @property
    def _vae_factor(self) -> int:
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Image features e `(len(images), dim)`, float32, not normalised."""
        features: Tensor = self.image_encoder(images)
        return features

    def encode_contents(self, contents: Sequence[str]) -> Tensor:
        """Text features t `(len(contents), dim)` of the paired tower, float32, not normalised."""
        features: Tensor = self.content_encoder(contents)
        return features

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Hidden states `(len(prompts), tokens, text_dim)` of Stable Diffusion's text encoder."""
        states: Tensor = self.prompt_encoder(prompts)
        return states

    @frozen
    def encode_latents(self, images: Sequence[Image.Image]) -> LatentMoments:
        """Moments of the scaled latents `(len(images), channels, height, width)`, float32.

        Images are brought to `image_size` by their shorter side and a centre crop.
        """
        pixels = torch.stack([_pixels(image, self.image_size) for image in images])
        moments = [self._encode_pixels(chunk) for chunk in pixels.split(self._vae_rows)]
        mean, std = (torch.cat(parts).float() * self.vae.config.scaling_factor for parts in zip(*moments, strict=True))
        return LatentMoments(mean, std)

    def _encode_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        distribution = self.vae.encode(pixels.to(self.vae.decoder.conv_in.weight)).latent_dist
        return distribution.mean, distribution.std

    def project(self, feature: Tensor) -> Tensor:
        """Image tokens P(v) `(batch, T, C)` of features `(batch, dim)` or `(batch, levels, dim)`; differentiable."""
        tokens: Tensor = self.image_projection(feature)
        return tokens

    def predict_noise(self, latents: Tensor, timesteps: Tensor, text_states: Tensor, image_tokens: Tensor) -> Tensor:
        """One UNet call.

        Args:
            latents: noisy latents `(batch, channels, height, width)`.
            timesteps: `()` or `(batch,)`, 0 .. 999.
            text_states: `(batch, tokens, text_dim)`.
            image_tokens: `(batch, T, C)`, already projected: doing so inside would repeat it in every step.

        Returns:
            Predicted noise `(batch, channels, height, width)` in the UNet's precision; differentiable.
        """
        dtype = self.unet.conv_in.weight.dtype
        conditions = (text_states.to(dtype), [image_tokens.to(dtype)])
        noise: Tensor = self.unet(latents.to(dtype), timesteps, encoder_hidden_states=conditions, return_dict=False)[0]
        return noise

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Forward diffusion of scaled latents `(batch, ...)` to the training steps `timesteps` `(batch,)`."""
        noisy: Tensor = self.training_scheduler.add_noise(latents, noise, timesteps)
        return noisy

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `(batch, 3, height, width)`, float32 in 0 .. 1, of scaled latents."""
        latents = latents / self.vae.config.scaling_factor
        weight = self.vae.decoder.conv_in.weight
        chunks = [self.vae.decode(chunk.to(weight)).sample for chunk in latents.split(self._vae_rows)]
        return (torch.cat(chunks).float() / 2 + 0.5).clamp(0, 1)

    def set_scales(self, scale: Scale) -> None:
        """Sets the weight of the image tokens, one for all layers or one a named block (`scales.set_scales`)."""
        set_scales(self.unet, scale)

    @property
    def _vae_rows(self) -> int:
        return max(1, _VAE_PIXELS // self.image_size**2)


def _pixels(image: Image.Image, size: int) -> Tensor:
    """Pixels `(3, size, size)` in -1 .. 1."""
    fitted = image.convert("RGB")
    if fitted.size != (size, size):
        fitted = ImageOps.fit(fitted, (size, size), Image.Resampling.BICUBIC)
    flat = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return flat.view(size, size, 3).permute(2, 0, 1).to(torch.float32) / 127.5 - 1
