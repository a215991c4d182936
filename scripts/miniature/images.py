"""The drawn training images of the miniature, held as one memory-mapped array."""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES

ALL_CONTENTS = [*CONTENTS, *PROMPT_CONTENTS]
ALL_STYLES = [*TRAIN_STYLES, *TEST_STYLES]
TRAINING_SEED = 1_000_000  # far from the seeds of the data set that the experiments use
FRESH_SEED = 2_000_000  # images that no network has been trained on


class Drawn(NamedTuple):
    """Images ``(n, 64, 64, 3)`` uint8 with the indices ``(n,)`` of their content and style."""

    images: np.ndarray
    contents: Tensor
    styles: Tensor


def _draw_pair(content: str, style: str, seed: int, count: int) -> np.ndarray:
    return np.stack([np.asarray(draw(content, style, seed + i)) for i in range(count)])


def drawn_images(folder: Path, per_pair: int, seed: int) -> Drawn:
    """Draw every content in every style, once; later calls map the same file.

    Args:
        folder: where the array is kept.
        per_pair: images for each of the 300 pairs of a content and a style.
        seed: seed of the first image of each pair.
    """
    pairs = [(c, s) for c in range(len(ALL_CONTENTS)) for s in range(len(ALL_STYLES))]
    path = folder / f"images-{seed}-{per_pair}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [(ALL_CONTENTS[c], ALL_STYLES[s], seed, per_pair) for c, s in pairs]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            drawn = list(tqdm(pool.map(_draw_pair, *zip(*jobs, strict=True)), total=len(jobs), desc="drawing"))
        unfinished = path.with_suffix(".tmp.npy")
        np.save(unfinished, np.concatenate(drawn))
        unfinished.replace(path)
    index = torch.tensor(pairs).repeat_interleave(per_pair, dim=0)
    return Drawn(np.load(path), index[:, 0], index[:, 1])


def to_unit_range(images: np.ndarray) -> Tensor:
    """Turn uint8 ``(n, h, w, 3)`` into float ``(n, 3, h, w)`` in [-1, 1], as the VAE and the networks take it."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to 3 pixels, vary brightness and contrast, and blur some: judges must read *generated* images too.

    Args:
        images: ``(n, 3, h, w)`` in [-1, 1].
        generator: source of chance.
    """
    shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3), mode="replicate")
    height, width = images.shape[-2:]
    images = padded[..., 3 + shift[0] : 3 + shift[0] + height, 3 + shift[1] : 3 + shift[1] + width]
    contrast, brightness = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    images = images * (0.85 + 0.3 * contrast) + 0.2 * (brightness - 0.5)
    blurred = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    blur = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.2
    noise = 0.05 * torch.randn(images.shape, generator=generator)
    return torch.where(blur, blurred, images) + noise


class Batches(torch.utils.data.Dataset[Tensor]):
    """Random row numbers ``(batch,)`` for each step, from the seed and the step alone, so that a run can resume."""

    def __init__(self, rows: int, batch_size: int, steps: int, seed: int) -> None:
        self.rows, self.batch_size, self.steps, self.seed = rows, batch_size, steps, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return torch.randint(self.rows, (self.batch_size,), generator=generator)
