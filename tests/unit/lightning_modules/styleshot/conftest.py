"""A style encoder with random weights in the public format, loaded once; tests leave it as they found it."""

from pathlib import Path

import pytest
import torch

from lightning_modules.styleshot.encoder import StyleEncoder
from lightning_modules.styleshot.weights import load_style_encoder
from tests.unit.lightning_modules.styleshot.reference import HEADS, random_encoder


@pytest.fixture(scope="session")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("styleshot") / "style_aware_encoder.bin"
    torch.save(random_encoder(), path)
    return path


@pytest.fixture(scope="session")
def encoder(encoder_file: Path) -> StyleEncoder:
    return load_style_encoder(encoder_file, HEADS)
