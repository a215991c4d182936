"""Conditions: the methods that edit the image feature of a style reference before diffusion reads it.

They serve any diffusers pipeline that has an IP-Adapter loaded, through its ``ip_adapter_image_embeds``;
``text`` is ``text_embeds`` ``(1, dim)`` of the content word from the text tower that is paired with the
pipeline's image encoder::

    embeds = pipe.prepare_ip_adapter_image_embeds(reference, None, pipe.device, 1, True)[0]  # (2, 1, dim)
    negative, positive = embeds.chunk(2)  # the negative row stays as it is: zeros
    pipe("A rocket", ip_adapter_image_embeds=[torch.cat([negative, Masking()(positive, text).feature])])
"""

from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.masking import Masking, QuantileMasking, two_means_keep_mask
from lightning_modules.conditions.subtraction import (
    Adapted,
    InstantStyle,
    IPAdapter,
    OnLevels,
    StyleShot,
    subtract_content,
)

__all__ = [
    "Adapted",
    "Condition",
    "Conditioned",
    "IPAdapter",
    "InstantStyle",
    "Masking",
    "OnLevels",
    "QuantileMasking",
    "StyleShot",
    "subtract_content",
    "two_means_keep_mask",
]
