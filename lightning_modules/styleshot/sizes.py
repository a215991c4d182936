"""StyleShot's sizes, importable without diffusers or transformers."""

from collections.abc import Sequence
from dataclasses import dataclass

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
