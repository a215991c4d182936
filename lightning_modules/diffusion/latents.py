"""Pixels to latents: what the VAE is given and what it says."""

from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightning_modules.diffusion.config import Size

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


def vae_rows(pixels: int) -> int:
    """Pictures of so many pixels that the VAE handles in one call."""
    return max(1, _VAE_PIXELS // pixels)


def to_pixels(image: Image.Image, size: Size) -> Tensor:
    """Pixels `(3, *size)` in -1 .. 1, of the centre."""
    height, width = size
    fitted = image.convert("RGB")
    if fitted.size != (width, height):
        fitted = ImageOps.fit(fitted, (width, height), Image.Resampling.BICUBIC)
    flat = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return flat.view(height, width, 3).permute(2, 0, 1).to(torch.float32) / 127.5 - 1
