"""The public architectures by their published configurations: no weights, no download.

Stable Diffusion 1.5 (Rombach et al., arXiv 2112.10752), SDXL (Podell et al., arXiv 2307.01952), the CLIP models that
they and the IP-Adapters (Ye et al., arXiv 2308.06721) use, as `architectures.yaml` has them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from lightning_modules.diffusion.ip_adapter import ImageProjection, attention_keys, cross_attention_layers
from scripts.yaml_files import read_yaml

Config = dict[str, Any]
NETWORKS: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "image_encoder": CLIPVisionModelWithProjection,
    "text_tower": CLIPTextModelWithProjection,
}
"""Class of each part, in the order in which they are built."""


@dataclass(frozen=True)
class Architecture:
    """All networks of a text-to-image model with an IP-Adapter, as configurations of their classes in `NETWORKS`.

    `pipeline` and `scheduler` are classes of diffusers, the latter configured by `scheduler_settings`; the IP-Adapter
    has `image_tokens` T and reads `image_encoder`, which is paired with `text_tower`, or with `text_encoder_2` where
    that is None; `options` are further entries of model_index.json.
    """

    pipeline: str
    scheduler: str
    scheduler_settings: Config
    unet: Config
    vae: Config
    text_encoder: Config
    image_encoder: Config
    text_encoder_2: Config | None = None
    text_tower: Config | None = None
    image_tokens: int = 4
    options: Config = field(default_factory=dict)

    @property
    def parts(self) -> list[str]:
        """Names of the networks, as the folders of their weights are called."""
        return [name for name in NETWORKS if getattr(self, name) is not None]

    def build(self, part: str, dtype: torch.dtype = torch.float32) -> Any:
        """A network of `parts` with random weights, drawn in `dtype` on the default device."""
        network, config, before = NETWORKS[part], getattr(self, part), torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            if part in ("unet", "vae"):
                return network(**config)
            return network((CLIPVisionConfig if part == "image_encoder" else CLIPTextConfig)(**config))
        finally:
            torch.set_default_dtype(before)


def random_ip_adapter(architecture: Architecture, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """The nested dictionary of a published `.bin`; weights scaled so that outputs are of the size of inputs."""
    with torch.device("meta"):
        unet = architecture.build("unet")
    width, layers = unet.config.cross_attention_dim, cross_attention_layers(unet)
    projection = ImageProjection(architecture.image_encoder["projection_dim"], architecture.image_tokens, width)
    sizes = {key: unet.get_submodule(layer).to_k.weight.shape for key, (layer, _) in attention_keys(layers).items()}
    return {
        "image_proj": {key: value.to(dtype) for key, value in projection.state_dict().items()},
        "ip_adapter": {key: (torch.randn(size) * width**-0.5).to(dtype) for key, size in sizes.items()},
    }


_FILE = Path(__file__).with_suffix(".yaml")
ARCHITECTURES: dict[str, Architecture] = {
    name: Architecture(**parts) for name, parts in read_yaml(_FILE)["architectures"].items()
}
"""Stable Diffusion 1.5 with ViT-H/14 and SDXL with ViT-bigG/14, for which the first IP-Adapters were made."""
