"""A content image's lines as a ControlNet is given them, each drawn once, and pictures in the content image's size."""

import hashlib
import json
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from datamodules.files import write_atomically
from lightning_modules.styleshot.detectors import Detector

# Part of every key: a change of what detectors draw makes the maps that older versions left unfit.
_VERSION = 1


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


class MapCache:
    """A detector that computes the map of each image once, and with a folder once for all runs.

    The folder keeps PNG files named by the image's pixels and the detector's settings; None: memory keeps them.
    """

    def __init__(self, detector: Detector, folder: str | None = None) -> None:
        self.detector = detector
        self.folder = None if folder is None else Path(folder).expanduser()
        self._kept: dict[str, bytes] = {}

    def __call__(self, image: Image.Image) -> Image.Image:
        """The control map, RGB in the size of `image`; WriteError where the folder cannot be written."""
        key = self.key(image)
        path = self.folder and self.folder / f"{key}.png"
        kept = path or BytesIO(self._kept.get(key, b""))
        with suppress(OSError), Image.open(kept) as opened:  # one that is no picture or is cut off is drawn anew
            return opened.convert("RGB")
        drawn, encoded = self.detector(image), BytesIO()
        drawn.save(encoded, format="PNG")
        if path is None:
            self._kept[key] = encoded.getvalue()
        else:
            write_atomically(path, lambda file: file.write(encoded.getvalue()))
        return drawn

    def key(self, image: Image.Image) -> str:
        """Name of the map: the detector's, and a digest of its settings and of the image's size and pixels."""
        pixels = image.convert("RGB")
        told = json.dumps([_VERSION, self._settings, pixels.size], sort_keys=True)
        return f"{self.detector.name}-{hashlib.sha256(told.encode() + pixels.tobytes()).hexdigest()[:32]}"

    @cached_property
    def _settings(self) -> dict[str, int | float | str | bool]:
        return self.detector.settings  # which may read a file of weights
