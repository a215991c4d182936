"""What the UNet, and the ControlNet beside it, are told of each row."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class ContentMap(NamedTuple):
    """What the content-fusion ControlNet is told of each row."""

    pixels: Tensor
    """(batch, 3, height, width), 0 .. 1: the lines that the picture shall keep."""
    tokens: Tensor
    """(batch, T, C): the style, in place of a text."""
    scale: float
    """Weight of what the ControlNet adds to the UNet."""

    def joined(self, other: "ContentMap") -> "ContentMap":
        """The rows of both, these first; the scale is that of these."""
        pixels, tokens = torch.cat([self.pixels, other.pixels]), torch.cat([self.tokens, other.tokens])
        return ContentMap(pixels, tokens, self.scale)

    def to(self, dtype: torch.dtype) -> "ContentMap":
        """The same in another precision."""
        return ContentMap(self.pixels.to(dtype), self.tokens.to(dtype), self.scale)


class Conditions(NamedTuple):
    """What each row of the UNet is told."""

    text_states: Tensor
    """(batch, tokens, text_dim)."""
    image_tokens: Sequence[Tensor]
    """One (batch, T, C) for each reference that has an attention of its own."""
    added: Mapping[str, Tensor]
    """Further inputs by diffusers' names, (batch, ...); empty for Stable Diffusion 1 and 2."""
    content_map: ContentMap | None = None
    """None: the picture follows no content image."""
    guidance: Tensor | None = None
    """(batch, dim): the guidance scale, for a UNet that embeds it and is called without an unconditional half."""

    def joined(self, other: "Conditions") -> "Conditions":
        """The rows of both, these first; either both or none of them follow a content image."""
        tokens = [torch.cat(pair) for pair in zip(self.image_tokens, other.image_tokens, strict=True)]
        added = {name: torch.cat([tensor, other.added[name]]) for name, tensor in self.added.items()}
        content_map = self.content_map and other.content_map and self.content_map.joined(other.content_map)
        return Conditions(torch.cat([self.text_states, other.text_states]), tokens, added, content_map)

    def to(self, dtype: torch.dtype) -> "Conditions":
        """The same in another precision."""
        tokens = [tensor.to(dtype) for tensor in self.image_tokens]
        added = {name: tensor.to(dtype) for name, tensor in self.added.items()}
        content_map = self.content_map and self.content_map.to(dtype)
        guidance = None if self.guidance is None else self.guidance.to(dtype)
        return Conditions(self.text_states.to(dtype), tokens, added, content_map, guidance)


def guidance_embedding(guidance_scale: float, width: int, rows: int) -> Tensor:
    """The guidance scale as sines and cosines `(rows, width)`, for latent consistency models (arXiv 2310.04378)."""
    from diffusers import StableDiffusionPipeline

    embedding: Any = StableDiffusionPipeline.get_guidance_scale_embedding  # a method that reads nothing of `self`
    embedded: Tensor = embedding(None, torch.tensor([guidance_scale - 1.0] * rows), width)
    return embedded
