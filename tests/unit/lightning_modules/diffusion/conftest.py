"""The tiny backbone, loaded once; tests leave it as they found it."""

import numpy as np
import pytest
from PIL import Image

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion


@pytest.fixture(scope="session")
def model(tiny_backbone: Backbone) -> StableDiffusion:
    return StableDiffusion.load(tiny_backbone)


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Eight different noise images in different sizes."""
    random = np.random.default_rng(0)
    sizes = [(16 + 3 * place, 20) for place in range(8)]
    return [Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
