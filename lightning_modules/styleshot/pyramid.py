"""StyleShot's patch pyramid (Gao et al., arXiv 2407.01414): one picture in patches of three sizes; and its sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

PATCHES = (8, 16, 32)
"""Patches of a picture on the high, the middle and the low level."""
CHANNELS = ((320, 320, 640, 640, 640, 1280, 1280), (320, 320, 640, 640, 1280, 1280), (320, 320, 640, 1280, 1280))
"""Channels of the published CNNs of the high, the middle and the low level."""
UNSHUFFLE = 8
"""Side of the pixel squares that become channels in front of them."""
MAP_CHANNELS = (16, 32, 96, 256)
"""Channels of the ControlNet's convolutions that read a map; each but the first halves it (arXiv 2302.05543)."""


@dataclass(frozen=True)
class PatchSizes:
    """Sizes of the three CNNs of a new style encoder, by default the published ones for pictures of 512 pixels.

    Args:
        channels: for the high, the middle and the low level the channels behind the CNN's first convolution and
            behind each of its residual blocks.
        unshuffle: side of the pixel squares that become channels first; pictures are 64 times as large: 8 for 512.
    """

    channels: Sequence[Sequence[int]] = CHANNELS
    unshuffle: int = UNSHUFFLE


def centre_crop(image: Image.Image, size: int) -> Tensor:
    """The middle square `(3, size, size)`, float32, -1 to 1, of an image whose short side was scaled to `size`."""
    width, height = image.size
    short = min(width, height)
    scaled = image.convert("RGB").resize((size * width // short, size * height // short), Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in scaled.size)
    crop = np.array(scaled.crop((left, top, left + size, top + size)), dtype=np.float32)
    return torch.from_numpy(crop).permute(2, 0, 1) / 127.5 - 1


def patch_pyramid(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The patches of three levels, `(batch, 8, channels, size / 4, size / 4)`, 16 of `size / 8` and 32 of `size / 16`.

    Each quadrant of the pictures `(batch, channels, size, size)` is cut into four: top left and bottom right are
    patches of the high level, bottom left and top right are cut again, for the middle level, and theirs once more, for
    the low level. Quadrants come in the order top left, bottom left, top right, bottom right. Raises ValueError where
    the pictures are no squares whose side is a multiple of 16.
    """
    if pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3] or pixels.shape[3] % 16 or not pixels.shape[3]:
        raise ValueError(
            "`pixels` must be square pictures (batch, channels, size, size) whose size is a multiple of 16; got "
            f"{tuple(pixels.shape)}. Crop them with `centre_crop`."
        )
    levels, squares = [], _quadrants(pixels)
    for _ in PATCHES:
        cut = [_quadrants(square) for square in squares]
        levels.append(torch.stack([patch for parts in cut for patch in (parts[0], parts[3])], dim=1))
        squares = [inner for parts in cut for inner in parts[1:3]]
    high, middle, low = levels
    return high, middle, low


def shuffled(levels: Sequence[Tensor], generator: Generator) -> list[Tensor]:
    """Every level `(batch, patches, ...)` in an order of its own, drawn on the CPU, the same for the whole batch."""
    orders = [torch.randperm(level.shape[1], generator=generator) for level in levels]
    return [level[:, order.to(level.device)] for level, order in zip(levels, orders, strict=True)]


def _quadrants(square: Tensor) -> list[Tensor]:
    return [half for side in square.chunk(2, dim=-1) for half in side.chunk(2, dim=-2)]
