"""Shared fixtures: tiny random weights, written once per test session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_modules.diffusion.config import Backbone


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
    from tests.tiny_xl import write_tiny_sdxl

    return write_tiny_sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="session")
def tiny_sdxl_vit_h(tiny_sdxl: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Settings of the same SDXL with the IP-Adapter of a smaller CLIP pair; do not change its files."""
    from tests.tiny_xl import write_tiny_sdxl_vit_h

    return write_tiny_sdxl_vit_h(tmp_path_factory.mktemp("vit_h"), tiny_sdxl)


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny CLIP judge on disk; do not change its files."""
    from tests.tiny import write_tiny_judge

    return write_tiny_judge(tmp_path_factory.mktemp("judge"))
