"""What the tests of training share: a folder of references, a Trainer that does nothing else, recorded losses."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from datamodules.style_references import StyleReferences
from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.unit.datamodules.folders import write_folder

SAMPLING = SamplingSettings(steps=2)


class Recorded(Callback):
    """Keeps the loss, reconstruction and contrast of every step, and which references it saw."""

    def __init__(self) -> None:
        self.losses: list[list[float]] = []
        self.indices: list[list[int]] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, i: int) -> None:
        self.losses.append([outputs[key].item() for key in ("loss", "reconstruction", "contrast")])
        self.indices.append([reference.index for reference in batch["references"]])


def references(root: Path, batch_size: int = 4, **arguments: Any) -> StyleReferences:
    """A datamodule of the twelve references in `root`, written if they are not there."""
    if not root.exists():
        write_folder(root)
    arguments = {"prompts": ["A bench"], "evaluation_references": 2} | arguments
    return StyleReferences(str(root), str(root), batch_size=batch_size, **arguments)


def trainer(*callbacks: Callback, **arguments: Any) -> Trainer:
    """A quiet Trainer on the CPU, for one step unless told otherwise."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "max_steps": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "limit_val_batches": 0,
        "num_sanity_val_steps": 0,
    }
    return Trainer(**(defaults | arguments), callbacks=list(callbacks))


def module(backbone: Backbone, **arguments: Any) -> AdapterReconstruction:
    """A module that samples in two steps and learns fast enough to see; its frozen networks are shared."""
    optimizer = {"optimizer": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2)}
    made = AdapterReconstruction(**({"backbone": backbone, "sampling": SAMPLING} | optimizer | arguments))
    made.diffusion = _load_once(backbone).to(torch.float32)  # a Trainer before may have changed it
    return made


@cache
def _load_once(backbone: Backbone) -> StableDiffusion:
    return StableDiffusion.load(backbone)
