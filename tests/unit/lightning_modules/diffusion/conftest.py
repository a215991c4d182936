"""The tiny backbones, loaded once; tests leave them as they found them."""

import numpy as np
import pytest
from PIL import Image

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from tests.unit.lightning_modules.diffusion.stock import Pair, load_pair


@pytest.fixture(scope="session")
def sd15_pair(tiny_backbone: Backbone) -> Pair:
    return load_pair(tiny_backbone)


@pytest.fixture(scope="session")
def sdxl_pair(tiny_sdxl: Backbone) -> Pair:
    return load_pair(tiny_sdxl)


@pytest.fixture(scope="session", params=["sd15", "sdxl"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each family's model beside diffusers' files."""
    loaded: Pair = request.getfixturevalue(f"{request.param}_pair")
    return loaded


@pytest.fixture(scope="session")
def model(sd15_pair: Pair) -> StableDiffusion:
    return sd15_pair.model


@pytest.fixture(scope="session")
def sdxl(sdxl_pair: Pair) -> StableDiffusion:
    return sdxl_pair.model


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Eight different noise images in different sizes."""
    random = np.random.default_rng(0)
    sizes = [(16 + 3 * place, 20) for place in range(8)]
    return [Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
