"""Sizes: a content image's lines as a ControlNet is given them, and its picture in the content image's own size."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate


def drawn_size(size: tuple[int, int], step: int) -> tuple[int, int]:
    """The sides nearest to those of `size` that are multiples of `step`, at least one step."""
    one, other = (max(step, round(side / step) * step) for side in size)
    return one, other


def map_pixels(lines: Image.Image, size: tuple[int, int]) -> Tensor:
    """A control map as `(3, height, width)`, float32 in 0 .. 1, of `size` (width, height)."""
    fitted = lines.convert("RGB")
    if fitted.size != size:
        fitted = fitted.resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 255


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures `(batch, 3, height, width)`, 0 .. 1, brought to `size` (width, height)."""
    width, height = size
    if pictures.shape[2:] == (height, width):
        return pictures
    return interpolate(pictures, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
