"""What a command is about to do, in one line above its bar."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from callbacks.picture_progress import PictureProgress
from lightning_modules.style_transfer import StyleModule
from scripts.terminal import TERMINAL


def with_bar(
    callbacks: list[Callback], trainer: Any, model: LightningModule, announce: Callable[[int], str]
) -> list[Callback]:
    """The callbacks with a bar, which announces the run and counts what the model draws.

    By `trainer`, its configuration, or by callbacks of the user's, there may be none or another; `--quiet` has none.
    """
    if TERMINAL.quiet:
        return [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    if trainer.enable_progress_bar is False or any(isinstance(callback, ProgressBar) for callback in callbacks):
        return callbacks
    bar = PictureProgress(announce)
    if isinstance(model, StyleModule):
        model.generator.progress = bar.advance
    return [*callbacks, bar]


def drawing(model: StyleModule, trainer: Trainer, pictures: int, then: str, *folders: str) -> str:
    """How many pictures are drawn, by which method and settings, on what, and what comes where."""
    if not pictures:
        return "No picture is missing."
    settings = model.sampling
    told = [f"{name} {value}" for name, value in model.condition.settings.items()]
    told += [f"{settings.steps} steps", f"guidance {settings.guidance_scale:g}"]
    told += [f"scale {settings.scale}"] if settings.scale != 1 else []
    where = f"; {then} {' and '.join(f'`{folder}`' for folder in folders)}" if folders else ""
    backbone = model.backbone.model
    return f"Drawing {counted(pictures)} by {model.name} ({backbone}, {', '.join(told)}) {place(trainer)}{where}."


def training(model: StyleModule, trainer: Trainer) -> str:
    """What is trained, how far, on what, and where it comes to lie."""
    steps = f"to step {trainer.max_steps}" if trainer.max_steps > 0 else f"for {trainer.max_epochs} epochs"
    folder = trainer.default_root_dir
    return f"Training {model.name} ({model.backbone.model}) {steps} {place(trainer)}; all comes to `{folder}`."


def scoring(trainer: Trainer, pictures: int, folder: str) -> str:
    """How many pictures are scored, on what, and where the scores come to lie."""
    return f"Scoring {counted(pictures)} {place(trainer)}; the scores come to `{folder}`."


def counted(pictures: int) -> str:
    """A number of pictures in words: "1 picture"."""
    return f"{pictures} picture{'s' * (pictures != 1)}"


def place(trainer: Trainer) -> str:
    """What computes: "on the CPU with 2 threads"."""
    device = trainer.strategy.root_device
    named = f"the CPU with {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    if device.type == "cuda":
        named = torch.cuda.get_device_name(device)
    return f"by {trainer.world_size} processes on {named} each" if trainer.world_size > 1 else f"on {named}"
