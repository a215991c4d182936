"""diffusers' own pipelines and IP-Adapter beside the project's networks, with the same weights."""

from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion

STEPS = 4


class Pair(NamedTuple):
    """A model of the project, in float64, and the folder from which diffusers loads the same weights."""

    model: StableDiffusion
    folder: Path

    def pipeline(self, adapters: int = 1) -> Any:
        """The stock pipeline with the IP-Adapter loaded `adapters` times."""
        pipe = DiffusionPipeline.from_pretrained(self.folder, torch_dtype=torch.float64)
        pipe.set_progress_bar_config(disable=True)
        weights = torch.load(self.folder / "ip_adapter.bin", weights_only=True)
        names = [None] * adapters
        pipe.load_ip_adapter([weights] * adapters, subfolder=names, weight_name=names, image_encoder_folder=None)
        pipe.to(torch.float64)
        return pipe

    def features(self, rows: int, seed: int = 5) -> Tensor:
        """Random image features of the size that the IP-Adapter reads."""
        dim = self.model.image_projection.proj.in_features
        return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)).double()


def load_pair(backbone: Backbone) -> Pair:
    return Pair(StableDiffusion.load(backbone).double(), Path(backbone.model))


def sampled_latents(
    model: StableDiffusion, settings: SamplingSettings, text: Text, *args: Any, **kwargs: Any
) -> Tensor:
    """What `sample` hands to the VAE."""
    with patch.object(model, "decode", lambda latents: latents):
        return sample(model, settings, text, *args, **kwargs)


@torch.no_grad()
def stock_latents(
    pipe: Any, prompt: str, sets: list[Tensor], seed: int, guidance_scale: float = 7.5, **call: Any
) -> Tensor:
    """Final latents of one picture.

    Given several references in one call, the pipeline gives each row all of them: one picture at a time.

    Args:
        pipe: a stock pipeline with as many IP-Adapters as there are sets.
        prompt: the prompt.
        sets: for each IP-Adapter the features `(2, dim)` of the unconditional and the conditional half.
        seed: of the initial noise.
        guidance_scale: g; without guidance the unconditional halves are left out.
        call: further arguments of the pipeline.
    """
    embeds = [each[:, None] if guidance_scale > 1 else each[1:, None] for each in sets]
    call = {"num_inference_steps": STEPS, "output_type": "latent", **call}
    generator = torch.Generator().manual_seed(seed)
    shape = [call.get(side, 16) // 2 for side in ("height", "width")]
    call["latents"] = torch.randn(1, 4, *shape, generator=generator).double()
    images: Tensor = pipe(
        prompt, ip_adapter_image_embeds=embeds, generator=generator, guidance_scale=guidance_scale, **call
    ).images
    return images


def against_nothing(feature: Tensor) -> Tensor:
    """The rows `(2, dim)` of a plain IP-Adapter: zeros for the unconditional half, then the feature."""
    return torch.stack([torch.zeros_like(feature), feature])
