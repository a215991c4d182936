"""What to load and how to sample: plain settings, importable without diffusers or transformers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

MINIATURE = Path(__file__).resolve().parents[2] / "weights" / "miniature"
DType = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Backbone:
    """Names of the frozen weights; each is a local path or a hub name `owner/name[@revision][/sub/folder]`.

    Args:
        model: diffusers folder of Stable Diffusion (unet, vae, text_encoder, tokenizer, scheduler);
            "miniature" is the small one shipped with the project.
        image_encoder: folder of the CLIP image encoder; None: `image_encoder` within `model`.
        text_tower: folder of the CLIP text tower paired with `image_encoder`; None: `text_tower` within `model`.
        ip_adapter: IP-Adapter file (`.bin` or `.safetensors`); None: `ip_adapter.safetensors` within `model`.
        revision: commit, tag or branch of `model`, where it is a hub name.
        variant: variant of the weight files of `model`, for example "fp16".
        dtype: precision in which all frozen weights are held.
    """

    model: str = "miniature"
    image_encoder: str | None = None
    text_tower: str | None = None
    ip_adapter: str | None = None
    revision: str | None = None
    variant: str | None = None
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in get_args(DType):
            raise ValueError(f"`dtype` must be one of {', '.join(get_args(DType))}; got {self.dtype!r}.")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch dtype that `dtype` names."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


@dataclass(frozen=True)
class SamplingSettings:
    """How a picture is sampled, apart from its prompt, reference and seed.

    Args:
        scheduler: class name of a diffusers scheduler; its parameters come from the model's own configuration.
        steps: number of denoising steps, at least 1.
        guidance_scale: g of classifier-free guidance `eps_u + g * (eps_c - eps_u)`; no guidance at g <= 1.
        negative_prompt: text of the unconditional half; reaches the picture only under guidance.
        prompt_suffix: appended to every prompt, for example ", best quality, high quality".
        scale: weight of the image tokens beside the text; one number for all cross-attention layers, or
            a number for each named block ("up_blocks.0.attentions.1"), all others being 0.
    """

    scheduler: str = "UniPCMultistepScheduler"
    steps: int = 30
    guidance_scale: float = 7.5
    negative_prompt: str = ""
    prompt_suffix: str = ""
    scale: float | dict[str, float] = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"`steps` must be at least 1; got {self.steps}.")

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs, which doubles the rows of each UNet call."""
        return self.guidance_scale > 1


# Both travel inside checkpoints as hyper-parameters, which are read back with `weights_only=True`.
torch.serialization.add_safe_globals([Backbone, SamplingSettings])
