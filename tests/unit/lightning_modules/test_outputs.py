"""Generated pictures as 8-bit images."""

import numpy as np
import pytest
import torch

from lightning_modules.outputs import to_pil


def test_pictures_survive_8_bits_and_are_clamped_and_rounded() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    pictures = to_pil(pixels / 255)
    assert pictures[0].size == (5, 4)
    assert all((np.asarray(im) == x.permute(1, 2, 0).numpy()).all() for im, x in zip(pictures, pixels, strict=True))
    assert to_pil(torch.tensor([-1.0, 2.0, 0.5])[None, :, None, None])[0].getpixel((0, 0)) == (0, 255, 128)
    with pytest.raises(ValueError, match=r"`images` must have shape \(batch, 3, .* got \(1, 8, 8, 3\)"):
        to_pil(torch.zeros(1, 8, 8, 3))
