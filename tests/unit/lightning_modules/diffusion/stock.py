"""diffusers' own pipelines and IP-Adapter beside the project's networks, with the same weights, both in float64."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import diffusers
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion

STEPS = 4
SEEDS, PROMPTS = [42, 7], ["A rocket", "A bench"]


class Pair(NamedTuple):
    """A model of the project and the folder from which diffusers loads the same weights."""

    model: StableDiffusion
    folder: Path

    def pipeline(self, adapters: int = 1) -> Any:
        """The stock pipeline with the IP-Adapter loaded `adapters` times."""
        return with_adapters(DiffusionPipeline.from_pretrained(self.folder), self.folder, adapters)

    def features(self, rows: int, seed: int = 5) -> Tensor:
        """Random image features of the size that the IP-Adapter reads."""
        dim = self.model.image_projection.proj.in_features
        return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)).double()


class Exact(NamedTuple):
    """Both, drawing the second of two rows, which knows nothing of the first: latents, or the picture."""

    pair: Pair
    pipe: Any

    def own(self, settings: SamplingSettings, decoded: bool = False) -> Tensor:
        model = self.pair.model
        draw = sample if decoded else sampled_latents
        return draw(model, settings, model.encode_prompts(PROMPTS), self.pair.features(2), SEEDS)[1:]

    def stock(self, settings: SamplingSettings, decoded: bool = False, **call: Any) -> Tensor:
        """With the scheduler that the pipeline's user would make of the one in the folder."""
        own, sets = self.pipe.scheduler, [against_nothing(self.pair.features(2)[1])]
        options, given = settings.scheduler_options or {}, ("guidance_scale", "eta")
        self.pipe.scheduler = getattr(diffusers, settings.scheduler).from_config(own.config, **options)
        call |= {name: getattr(settings, name) for name in given} | {"output_type": "pt" if decoded else "latent"}
        try:
            return stock_latents(self.pipe, PROMPTS[1], sets, SEEDS[1], num_inference_steps=settings.steps, **call)
        finally:
            self.pipe.scheduler = own


def load_pair(backbone: Backbone) -> Pair:
    return Pair(StableDiffusion.load(backbone).double(), Path(backbone.model))


def load_exact(backbone: Backbone) -> Exact:
    """Both sides of a backbone whose parts lie in one folder."""
    pair = load_pair(backbone)
    return Exact(pair, pair.pipeline())


def with_adapters(pipe: Any, folder: Path, adapters: int = 1) -> Any:
    """The pipeline in float64, with the IP-Adapter of a folder loaded so often."""
    pipe.set_progress_bar_config(disable=True)
    weights = torch.load(folder / "ip_adapter.bin", weights_only=True)
    names = [None] * adapters
    pipe.load_ip_adapter([weights] * adapters, subfolder=names, weight_name=names, image_encoder_folder=None)
    return pipe.to(torch.float64)


def sampled_latents(
    model: StableDiffusion, settings: SamplingSettings, text: Text, *args: Any, **kwargs: Any
) -> Tensor:
    """What `sample` hands to the VAE."""
    with patch.object(model, "decode", lambda latents: latents):
        return sample(model, settings, text, *args, **kwargs)


@torch.no_grad()
def stock_latents(
    pipe: Any, prompt: str, sets: Sequence[Tensor], seed: int, guidance_scale: float = 7.5, **call: Any
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
    guided = guidance_scale > 1 and pipe.unet.config.time_cond_proj_dim is None
    embeds = [each[:, None] if guided else each[1:, None] for each in sets]
    call = {"num_inference_steps": STEPS, "output_type": "latent", **call}
    generator, sides = torch.Generator().manual_seed(seed), pipe.unet.config.sample_size
    usual = dict(zip(("height", "width"), [sides] * 2 if isinstance(sides, int) else sides, strict=True))
    shape = [call[side] // 2 if side in call else own for side, own in usual.items()]
    call["latents"] = torch.randn(1, 4, *shape, generator=generator).double()
    images: Tensor = pipe(
        prompt, ip_adapter_image_embeds=embeds, generator=generator, guidance_scale=guidance_scale, **call
    ).images
    return images


def against_nothing(feature: Tensor) -> Tensor:
    """The rows `(2, dim)` of a plain IP-Adapter: zeros for the unconditional half, then the feature."""
    return torch.stack([torch.zeros_like(feature), feature])


def variant(backbone: Backbone, folder: Path, part: str, changes: Mapping[str, Any]) -> Backbone:
    """A copy of a backbone, in `folder`, in which the settings of one part are others."""
    shutil.copytree(backbone.model, folder)
    file = folder / part
    if not file.suffix:
        file /= "scheduler_config.json" if part == "scheduler" else "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    return Backbone(str(folder))
