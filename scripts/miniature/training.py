"""What the miniature's training stages share: drawn images, options, the training loop, and how weights are written."""

import argparse
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from datamodules.files import replacing_folder, write_atomically
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES
from scripts.paths import to_path
from scripts.stopping import stoppable

WEIGHTS = Path(__file__).parents[2] / "weights" / "miniature"
ALL_CONTENTS = [*CONTENTS, *PROMPT_CONTENTS]
ALL_STYLES = [*TRAIN_STYLES, *TEST_STYLES]
TRAINING_SEED = 1_000_000  # far from the seeds of the data set that the experiments use
FRESH_SEED = 2_000_000  # images that no network has been trained on
_AT_A_TIME = 250


class Drawn(NamedTuple):
    """Images ``(n, 64, 64, 3)`` uint8 with the indices ``(n,)`` of their content and style."""

    images: np.ndarray
    contents: Tensor
    styles: Tensor


def drawn_images(folder: Path, per_pair: int, seed: int) -> Drawn:
    """Draw every content in every style, `per_pair` images from `seed` on, once; later calls read the kept file."""
    path = folder / f"images-{seed}-{per_pair}.npy"
    if not path.exists():
        jobs = [(content, style, seed, per_pair) for content, style in product(ALL_CONTENTS, ALL_STYLES)]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            drawn = list(tqdm(pool.map(_draw_pair, *zip(*jobs, strict=True)), total=len(jobs), desc="drawing"))
        write_atomically(path, lambda file: np.save(file, np.concatenate(drawn)))
    pairs = torch.cartesian_prod(torch.arange(len(ALL_CONTENTS)), torch.arange(len(ALL_STYLES)))
    contents, styles = pairs.repeat_interleave(per_pair, dim=0).unbind(1)
    return Drawn(np.load(path), contents, styles)


def _draw_pair(content: str, style: str, seed: int, count: int) -> np.ndarray:
    return np.stack([np.asarray(draw(content, style, seed + i)) for i in range(count)])


def to_unit_range(images: np.ndarray) -> Tensor:
    """Turn uint8 ``(n, h, w, 3)`` into float ``(n, 3, h, w)`` in [-1, 1], as the VAE and the networks take it."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift images ``(n, 3, h, w)`` in [-1, 1] by up to 3 pixels, vary brightness and contrast, and blur some.

    Judges must read *generated* images too.
    """
    down, right = torch.randint(-3, 4, (2,), generator=generator).tolist()
    padded = F.pad(images, (3, 3, 3, 3), mode="replicate")
    height, width = images.shape[-2:]
    images = padded[..., 3 + down : 3 + down + height, 3 + right : 3 + right + width]
    contrast, brightness = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    images = images * (0.85 + 0.3 * contrast) + 0.2 * (brightness - 0.5)
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    blur = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.2
    noise = 0.05 * torch.randn(images.shape, generator=generator)
    return torch.where(blur, blurred, images) + noise


class Batches(Dataset[Tensor]):
    """Random row numbers ``(batch,)`` for each step, from the seed and the step alone, so that a run can resume."""

    def __init__(self, rows: int, batch_size: int, steps: int, seed: int) -> None:
        self.rows, self.batch_size, self.steps, self.seed = rows, batch_size, steps, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return torch.randint(self.rows, (self.batch_size,), generator=generator)


class Stage(L.LightningModule):
    """One training stage: AdamW with a one-cycle schedule over the trainable parameters."""

    decay = 0.998  # of the averaged weights
    steps, batch_size, lr = 3000, 48, 1e-3  # by default

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.lr, self.seed, self.work, self.weights = arguments.lr, arguments.seed, arguments.work, arguments.weights
        self.steps = arguments.schedule_steps or arguments.steps
        self.drawn = drawn_images(arguments.work, arguments.per_pair, TRAINING_SEED)

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """The options of this stage alone."""

    def save(self) -> None:
        """Write the finished networks into the folder `weights`."""
        raise NotImplementedError

    @torch.no_grad()
    def tell_accuracy(self, classify: Callable[[Tensor], Sequence[Tensor]]) -> None:
        """Log how often logits ``(n, classes)`` of content and style are right on images that were not trained on."""
        fresh = drawn_images(self.work, 10, FRESH_SEED)
        starts = range(0, len(fresh.images), 300)
        parts = [classify(to_unit_range(fresh.images[start : start + 300])) for start in starts]
        content, style = (torch.cat(logits).argmax(dim=1) for logits in zip(*parts, strict=True))
        shares = (content == fresh.contents).float().mean(), (style == fresh.styles).float().mean()
        logging.getLogger(__name__).info("fresh images: content %.3f, style %.3f", *map(float, shares))

    def noise_source(self) -> torch.Generator:
        """The generator of this step's chance, from the seed and the step alone."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)

    def configure_optimizers(self) -> dict[str, object]:  # type: ignore[override]
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps + 1, pct_start=0.08)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def run(stage: type[Stage], name: str, description: str | None, args: Sequence[str] | None = None) -> None:
    """The command line of a stage: train it, resuming from its last checkpoint in the folder `name`, and save it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=stage.steps, help="training steps")
    parser.add_argument("--batch-size", type=int, default=stage.batch_size, help="images a step")
    parser.add_argument("--lr", type=float, default=stage.lr, help="peak learning rate of the one-cycle schedule")
    parser.add_argument("--schedule-steps", type=int, help="length of the schedule, if not that of the training")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and noise")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--per-pair", type=int, default=200, help="drawn images for each content and style")
    parser.add_argument("--work", type=to_path, default=Path("outputs/miniature"), help="checkpoints and drawn images")
    parser.add_argument("--weights", type=to_path, default=WEIGHTS, help="where the finished weights are written")
    stage.add_options(parser)
    arguments = parser.parse_args(args)
    arguments.seed += getattr(arguments, "which", None) == "judge"  # no model marks its own work
    L.seed_everything(arguments.seed)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        made = stage(arguments)
        train(made, arguments, arguments.work / name.format(**vars(arguments)))
        made.eval().save()


def train(stage: Stage, arguments: argparse.Namespace, folder: Path) -> None:
    """Train a stage, resuming from its last checkpoint; the averaged weights are in the stage afterwards."""
    trainer = L.Trainer(
        max_steps=arguments.steps,
        accelerator="cpu",
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        default_root_dir=folder,
        log_every_n_steps=20,
        callbacks=[
            ModelCheckpoint(folder, save_last=True, every_n_train_steps=200, save_top_k=1, monitor=None),
            EMAWeightAveraging(decay=stage.decay),
            TQDMProgressBar(refresh_rate=20),
        ],
    )
    batches = Batches(len(stage.drawn.images), arguments.batch_size, arguments.steps, arguments.seed)
    last = folder / "last.ckpt"
    trainer.fit(stage, DataLoader(batches, batch_size=None), ckpt_path=str(last) if last.exists() else None)


@torch.no_grad()
def encoded(encode: Callable[[Tensor], Tensor], drawn: Drawn, path: Path) -> Tensor:
    """What `encode` makes of all drawn images, computed once and kept in a file."""
    if not path.exists():
        rows = range(0, len(drawn.images), _AT_A_TIME)
        parts = [encode(to_unit_range(drawn.images[i : i + _AT_A_TIME])) for i in tqdm(rows, desc=path.stem)]
        write_atomically(path, lambda file: torch.save(torch.cat(parts), file))
    features: Tensor = torch.load(path, weights_only=True)
    return features


def kept_file(arguments: argparse.Namespace, kind: str, network: str, count: int) -> Path:
    """Where encodings of `count` images are kept: the name tells the weights that made them."""
    files = sorted((arguments.weights / network).glob("*.safetensors"))
    weights = hashlib.blake2b(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    return Path(arguments.work / f"{kind}-{weights}-{count}.pt")


def save_folder(folder: Path, *parts: Any) -> None:
    """Let parts of diffusers and transformers write a folder, which takes the place of what is there in one step."""
    with replacing_folder(folder.resolve(), "weights") as new:
        for part in parts:
            part.save_pretrained(new)
