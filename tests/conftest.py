"""Shared fixtures: tiny random weights, written once per test session."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lightning_modules.diffusion.config import Backbone

logging.getLogger().addHandler(logging.NullHandler())  # else Lightning keeps its messages from pytest
if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not come along into a process that a test forks, which would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@pytest.fixture
def float64() -> Iterator[None]:
    """Nothing is rounded to float32 on its way (`tests.float64`)."""
    from tests.float64 import float64

    with float64():
        yield


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Settings of a complete tiny backbone on disk; do not change its files."""
    from tests.tiny import write_tiny_backbone

    return write_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Settings of a complete tiny SDXL on disk; do not change its files."""
    from tests.tiny import write_tiny_backbone

    return write_tiny_backbone(tmp_path_factory.mktemp("sdxl"), family="sdxl")


@pytest.fixture(scope="session")
def tiny_sdxl_vit_h(tiny_sdxl: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Settings of the same SDXL with the IP-Adapter of a smaller CLIP pair; do not change its files."""
    from tests.tiny import write_tiny_sdxl_vit_h

    return write_tiny_sdxl_vit_h(tmp_path_factory.mktemp("vit_h"), tiny_sdxl)


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny CLIP judge on disk; do not change its files."""
    from tests.tiny import write_tiny_judge

    return write_tiny_judge(tmp_path_factory.mktemp("judge"))
