"""The project's loop and diffusers' pipeline on the same weights in float64, where the same algorithm agrees."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from torch import Tensor

from lightning_modules.diffusion import sampling
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from tests.unit.lightning_modules.diffusion.stock import Pair, against_nothing, load_pair, sampled_latents

SEEDS = [42, 7]
PROMPTS = ["A rocket", "A bench"]


class Exact(NamedTuple):
    """Both in float64; the pipeline has its scheduler as the folder says."""

    pair: Pair
    pipe: Any

    def own(self, settings: SamplingSettings, decoded: bool = False) -> Tensor:
        """The second of two rows, which knows nothing of the first: latents, or the picture."""
        model = self.pair.model
        draw = sampling.sample if decoded else sampled_latents
        return draw(model, settings, model.encode_prompts(PROMPTS), self.pair.features(2), SEEDS)[1:]

    @torch.no_grad()
    def stock(self, settings: SamplingSettings, decoded: bool = False, **call: Any) -> Tensor:
        """The same of the pipeline, with the scheduler that its user would make."""
        options = settings.scheduler_options or {}
        kind, own = getattr(diffusers, settings.scheduler), self.pipe.scheduler
        self.pipe.scheduler = kind.from_config(own.config, **options)
        generator = torch.Generator().manual_seed(SEEDS[1])
        shape = self.pair.model.latent_shape
        noise = torch.randn(1, *shape, generator=generator)
        rows = against_nothing(self.pair.features(2)[1])[:, None]
        guided = settings.guided and self.pipe.unet.config.time_cond_proj_dim is None
        try:
            pictures: Tensor = self.pipe(
                PROMPTS[1],
                ip_adapter_image_embeds=[rows if guided else rows[1:]],
                latents=noise.double(),
                generator=generator,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance_scale,
                eta=settings.eta,
                output_type="pt" if decoded else "latent",
                **call,
            ).images
        finally:
            self.pipe.scheduler = own
        return pictures


def load_exact(backbone: Backbone) -> Exact:
    """Both sides of a backbone whose parts lie in one folder."""
    pair = load_pair(backbone)
    return Exact(pair, pair.pipeline())


def variant(backbone: Backbone, folder: Path, part: str, changes: Mapping[str, Any]) -> Backbone:
    """A copy of a backbone, in `folder`, in which the settings of one part are others."""
    shutil.copytree(backbone.model, folder)
    file = folder / part
    if not file.suffix:
        file /= "scheduler_config.json" if part == "scheduler" else "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    return Backbone(str(folder))
