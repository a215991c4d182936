"""Writing files so that a reader, or a run after a crash, never meets half of one."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor


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


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in place in one step; makes the folder.

    Raises:
        OSError: naming `path` and the way out, if the disk is full or the folder cannot be written.
    """
    # The process number keeps two ranks apart that write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OSError:
    """The same error with a text that names `path` and the way out."""
    reason = error.strerror or str(error)
    return OSError(
        error.errno,
        f"cannot write `{path}`: {reason}. Free some space or choose a folder that can be written, and start "
        "again: what is finished is kept",
    )


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` by `text` in one step."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_png(path: Path, image: Image.Image) -> None:
    """Replace the file `path` by `image` as PNG in one step."""
    write_atomically(path, lambda file: image.save(file, format="PNG"))
