"""Fixtures of the callbacks' tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from datamodules.predictions import Predictions
from tests.unit.callbacks.scored_pictures import write_groups


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """A quiet CPU trainer with TensorBoard under `tmp_path / "log"`."""

    def make(*callbacks: Any, **options: Any) -> Trainer:
        defaults: dict[str, Any] = {
            "logger": TensorBoardLogger(tmp_path, name=None, version="log", default_hp_metric=False),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "accelerator": "cpu",
            "default_root_dir": tmp_path,
            "log_every_n_steps": 1,
        }
        return Trainer(callbacks=list(callbacks), **{**defaults, **options})

    return make


@pytest.fixture
def data(tmp_path: Path) -> Predictions:
    """Two groups of pictures to be scored."""
    return write_groups(tmp_path)
