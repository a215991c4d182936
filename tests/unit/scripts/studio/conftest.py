"""A studio of the shipped miniature that draws in two steps, and pictures to bring to it."""

import pytest

from callbacks.scoring.clip_judge import ClipJudge
from lightning_modules.conditions import IPAdapter
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer
from scripts.studio.desk import Upload, received
from scripts.studio.session import Studio
from tests.fitting import trainer
from tests.hostile import drawing

SAMPLING = SamplingSettings(steps=2, guidance_scale=4.0, negative_prompt="")


@pytest.fixture(scope="session")
def studio() -> Studio:
    """Loaded once; do not change it."""
    return Studio(StyleTransfer(IPAdapter(), Backbone(), SAMPLING), ClipJudge(), trainer(), 40, "miniature")


@pytest.fixture(scope="session")
def cat() -> Upload:
    return received("cat.png", drawing("cat"))


@pytest.fixture(scope="session")
def ship() -> Upload:
    return received("ship.png", drawing("ship"))
