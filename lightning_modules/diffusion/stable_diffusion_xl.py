"""SDXL with an IP-Adapter (Podell et al., arXiv 2307.01952): two text encoders, a pooled feature and sizes."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from lightning_modules.diffusion.config import MicroConditioning
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.unet_inputs import Conditions


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
