"""Shared fixtures: tiny random weights, written once per test session."""

from pathlib import Path

import pytest

from lightning_modules.diffusion.config import Backbone


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Settings of a complete tiny backbone on disk; do not change its files."""
    from tests.tiny import write_tiny_backbone

    return write_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny CLIP judge on disk; do not change its files."""
    from tests.tiny import write_tiny_judge

    return write_tiny_judge(tmp_path_factory.mktemp("judge"))
