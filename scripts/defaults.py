"""What all commands have in common."""

import sys
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar

CONFIGS = Path(__file__).parents[1] / "configs"
# The datamodules share their samples out among the processes by themselves.
TRAINER_DEFAULTS = {"use_distributed_sampler": False}


def with_progress_bar(configured: list[Callback]) -> list[Callback]:
    """The configured callbacks, with a progress bar for a log where the output is one."""
    has_bar = any(isinstance(callback, ProgressBar) for callback in configured)
    if has_bar or sys.stdout.isatty():
        return list(configured)
    return [*configured, TQDMProgressBar(refresh_rate=10)]
