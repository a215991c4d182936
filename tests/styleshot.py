"""What the tests of StyleShot's training share: captioned images, a tiny StyleShot, modules that are about to train.

Run as a program it trains on as many processes as asked, for the test that compares them.
"""

import json
import sys
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image

from datamodules.captioned_images import CaptionedImages
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.styleshot.pyramid import PatchSizes
from lightning_modules.styleshot_reconstruction import StyleShotReconstruction
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction
from tests.fitting import trainer
from tests.float64 import float64
from tests.unit.lightning_modules.styleshot.reference import CHANNELS, HEADS, random_encoder
from tests.unit.lightning_modules.styleshot.test_weights import ip_bin

STAGES = (StyleEncoderReconstruction, ContentFusionReconstruction)
PATCHES = PatchSizes(CHANNELS, unshuffle=1)  # pictures of 64 pixels
MAP_CHANNELS = (4, 8)  # the tiny VAE halves once
CLIP_HEADS = 2  # of the tiny CLIP, which becomes the transformer of a new style encoder
WORDS = ("A bird", "A cat", "A dog", "A frog", "A ship", "A truck", "A horse", "A deer", "A bench", "A rocket", "A toy")


class Losses(Callback):
    """Keeps what each step said and saw."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.logged: list[float] = []
        self.indices: list[list[int]] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, i: int) -> None:
        self.losses.append(outputs["loss"].item())
        self.logged.append(trainer.callback_metrics["loss/total"].item())
        self.indices.append([reference.index for reference in batch["references"]])


def write_styleshot(folder: Path, tiny_backbone: Backbone) -> Backbone:
    """Writes StyleShot's two files with random weights, without ControlNet; returns the settings that load them."""
    own = {key: tensor for key, tensor in ip_bin().items() if not key.startswith("controlnet.")}
    torch.save(random_encoder(), folder / "style_aware_encoder.bin")
    torch.save(own, folder / "ip.bin")
    files: dict[str, Any] = {
        "style_encoder": str(folder / "style_aware_encoder.bin"),
        "ip_adapter": str(folder / "ip.bin"),
    }
    return replace(tiny_backbone, style_heads=HEADS, **files)


def write_captions(folder: Path) -> Path:
    """Writes eleven images of 24 x 16 pixels, every third with a content map, and the file that names them."""
    chance, lines = np.random.default_rng(0), []
    for number, words in enumerate(WORDS):
        pixels = chance.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 16), Image.Resampling.NEAREST).save(folder / f"{number:02}.png")
        line = {"image": f"{number:02}.png", "prompt": words}
        if number % 3 == 0:
            drawn = 255 * chance.integers(0, 2, (16, 24), dtype=np.uint8)
            Image.fromarray(drawn).save(folder / f"map_{number:02}.png")
            line["content_map"] = f"map_{number:02}.png"
        lines.append(json.dumps(line))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return folder


def captions(folder: Path, batch_size: int = 4) -> CaptionedImages:
    """The datamodule of the images in `folder`, three batches an epoch."""
    return CaptionedImages(str(folder / "captions.jsonl"), test=str(folder), batch_size=batch_size)


def module(stage: type[StyleShotReconstruction], backbone: Backbone, **arguments: Any) -> StyleShotReconstruction:
    """A module of either stage with networks of its own, which learns fast enough to see."""
    sizes: dict[str, Any] = (
        {"map_channels": MAP_CHANNELS} if stage is ContentFusionReconstruction else {"patches": PATCHES}
    )
    defaults: dict[str, Any] = {"backbone": backbone, "sampling": SamplingSettings(steps=2), "optimizer": adam}
    made = stage(**(defaults | sizes | arguments))
    made.diffusion = deepcopy(_load_once(backbone))
    return made


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=3e-3)


def still(parameters: Any) -> torch.optim.Optimizer:
    """An optimizer that changes nothing."""
    return torch.optim.SGD(parameters, lr=0.0)


def trained_state(made: StyleShotReconstruction) -> dict[str, torch.Tensor]:
    """Copies of the parameters that take gradients."""
    return {name: p.detach().clone() for name, p in made.named_parameters() if p.requires_grad}


@cache
def _load_once(backbone: Backbone) -> StableDiffusion:
    return StableDiffusion.load(backbone)


def fit(stage: str, folder: Path, backbone: Backbone, devices: int) -> None:
    """Two epochs of eleven images in global batches of four, the last of which is odd."""
    options: dict[str, Any] = {"strategy": "ddp", "devices": devices} if devices > 1 else {}
    kind = next(each for each in STAGES if each.__name__ == stage)
    made = module(kind, backbone, optimizer=lambda p: torch.optim.SGD(p, lr=1e-2), gradient_checkpointing=True)
    recorded = Losses()
    run = trainer(recorded, max_steps=-1, max_epochs=2, precision="64-true", **options)
    run.fit(made, captions(folder, batch_size=4 // devices))
    if run.is_global_zero:
        torch.save({"state": trained_state(made), "logged": recorded.logged}, folder / f"{stage}_{devices}.pt")


if __name__ == "__main__":
    with float64():
        fit(sys.argv[1], Path(sys.argv[2]), Backbone(**json.loads(sys.argv[3])), 2)
