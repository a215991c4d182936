"""Pictures and names for files, and how they are written: whole or not at all."""

import hashlib
import re
import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.files import cannot_write, replacing, write_atomically, write_text

__all__ = ["cannot_write", "digest", "replacing", "slug", "to_pil", "write_atomically", "write_png", "write_text"]


def write_png(path: Path, image: Image.Image) -> None:
    """Replace the file `path` by `image` as PNG in one step."""
    write_atomically(path, lambda file: image.save(file, format="PNG"))


def to_pil(images: Tensor) -> list[Image.Image]:
    """8-bit RGB pictures of `images` (batch, 3, height, width) in [0, 1]; values are clamped and rounded."""
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(
            "`images` must have shape (batch, 3, height, width) with values in [0, 1], got "
            f"{tuple(images.shape)}: move the colour channels to the second place."
        )
    pixels = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return [Image.fromarray(np.ascontiguousarray(p)) for p in pixels.permute(0, 2, 3, 1).cpu().numpy()]


def digest(data: bytes, size: int = 8) -> str:
    """Short hexadecimal fingerprint of `data` (`size` bytes, twice as many characters)."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def slug(text: str, longest: int = 40) -> str:
    """`text` in a-z, 0-9 and "-", which every file system takes: "Line art!" becomes "line-art"."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:longest].strip("-") or "x"
