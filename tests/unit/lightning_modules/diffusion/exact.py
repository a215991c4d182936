"""The project's loop and diffusers' pipeline on the same weights in float64, where the same algorithm agrees."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import diffusers
import torch
from torch import Tensor

from lightning_modules.diffusion import sampling
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from tests.unit.lightning_modules.diffusion.stock import Pair, against_nothing, load_pair

SEEDS = [42, 7]
PROMPTS = ["A rocket", "A bench"]


class Exact(NamedTuple):
    """Both in float64; the pipeline has its scheduler as the folder says."""

    pair: Pair
    pipe: Any

    def own(self, settings: SamplingSettings, decoded: bool = False) -> Tensor:
        """The second of two rows, which knows nothing of the first: latents, or the picture."""
        model, draw = self.pair.model, sampling.initial_noise
        features, text = self.pair.features(2).double(), model.encode_prompts(PROMPTS)
        decode = model.decode if decoded else lambda latents: latents
        with (
            patch.object(sampling, "initial_noise", lambda *given: draw(*given).double()),
            patch.object(model, "decode", decode),
        ):
            return sampling.sample(model, settings, text, features, SEEDS)[1:]

    @torch.no_grad()
    def stock(self, settings: SamplingSettings, decoded: bool = False, **call: Any) -> Tensor:
        """The same of the pipeline, with the scheduler that its user would make."""
        options = settings.scheduler_options or {}
        kind, own = getattr(diffusers, settings.scheduler), self.pipe.scheduler
        self.pipe.scheduler = kind.from_config(own.config, **options)
        generator = torch.Generator().manual_seed(SEEDS[1])
        shape = self.pair.model.latent_shape
        noise = torch.randn(1, *shape, generator=generator)
        rows = against_nothing(self.pair.features(2)[1].double())[:, None]
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
    pair.model.double()
    pipe = pair.pipeline()
    pipe.to(torch.float64)
    return Exact(pair, pipe)


def assert_exact(own: Tensor, stock: Tensor) -> None:
    """Equal in float64 but for the order of sums, or in the float32 to which pictures are rounded at last."""
    largest = float(stock.abs().max())
    assert own.shape == stock.shape and largest > 1e-3, "nothing to compare"
    assert float((own - stock).abs().max()) <= (1e-9 if own.dtype == torch.float64 else 1e-7) * largest


def variant(backbone: Backbone, folder: Path, part: str, changes: Mapping[str, Any]) -> Backbone:
    """A copy of a backbone, in `folder`, in which the settings of one part are others."""
    shutil.copytree(backbone.model, folder)
    file = folder / part
    if not file.suffix:
        file /= "scheduler_config.json" if part == "scheduler" else "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))
    return Backbone(str(folder))
