"""The square crop, the patches of its three levels and their orders."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from lightning_modules.styleshot.pyramid import PATCHES, centre_crop, patch_pyramid, shuffled
from tests.float64 import FEW_ROUNDINGS
from tests.unit.lightning_modules.styleshot.reference import boxes


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def test_crop_of_a_picture_in_its_size_is_the_picture() -> None:
    image = noise(96, 64)
    crop = centre_crop(image, 64)
    expected = torch.from_numpy(np.array(image)[:, 16:80]).permute(2, 0, 1) / 255 * 2 - 1
    torch.testing.assert_close(crop, expected, atol=FEW_ROUNDINGS, rtol=0)


@pytest.mark.parametrize(("width", "height"), [(96, 64), (50, 90), (33, 33), (201, 100)])
def test_short_side_is_scaled_bilinearly(width: int, height: int) -> None:
    image = noise(width, height)
    crop = centre_crop(image, 48)
    short = min(width, height)
    scaled = functional.interpolate(
        torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float(),
        (48 * height // short, 48 * width // short),
        mode="bilinear",
        antialias=True,
    )
    top, left = (round((side - 48) / 2) for side in scaled.shape[2:])
    expected = scaled[0, :, top : top + 48, left : left + 48] / 127.5 - 1
    assert crop.shape == (3, 48, 48) and crop.dtype == torch.float32
    torch.testing.assert_close(crop, expected, atol=1.5 / 127.5, rtol=0)  # Pillow rounds twice


def test_crop_reads_other_modes_and_keeps_the_range() -> None:
    assert torch.equal(centre_crop(Image.new("L", (20, 30), 255), 32), torch.ones(3, 32, 32))
    assert torch.equal(centre_crop(Image.new("RGBA", (20, 30), (0, 0, 0, 255)), 32), -torch.ones(3, 32, 32))


def test_patches_lie_where_the_definition_puts_them() -> None:
    pixels = torch.rand(2, 3, 64, 64)
    for level, patches, corners in zip((16, 8, 4), patch_pyramid(pixels), boxes(64), strict=True):
        expected = [pixels[:, :, row : row + level, column : column + level] for row, column in corners]
        assert torch.equal(patches, torch.stack(expected, dim=1))


def test_patches_of_all_levels_do_not_overlap() -> None:
    levels = patch_pyramid(torch.arange(64 * 64).view(1, 1, 64, 64))
    assert tuple(level.shape[1] for level in levels) == PATCHES
    seen = torch.cat([level.flatten() for level in levels])
    assert len(seen.unique()) == len(seen) == 64 * 64 // 2 + 64 * 64 // 4 + 64 * 64 // 8
    first = [tuple(divmod(int(patch[0, 0, 0]), 64)) for level in levels for patch in level[0, :2]]
    assert first == [(0, 0), (16, 16), (16, 0), (24, 8), (24, 0), (28, 4)]


@pytest.mark.parametrize("shape", [(1, 3, 64, 48), (1, 3, 40, 40), (3, 64, 64), (1, 3, 0, 0)])
def test_pictures_that_cannot_be_cut(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`pixels` must be square .* multiple of 16; got \(.*`centre_crop`"):
        patch_pyramid(torch.zeros(shape))


def test_shuffling_is_seeded_and_stays_in_its_level() -> None:
    levels = patch_pyramid(torch.rand(2, 3, 64, 64))
    first, again, other = (shuffled(levels, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    for level, ours, same, different in zip(levels, first, again, other, strict=True):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, different) and not torch.equal(ours, level)
        rows = [{patch.numpy().tobytes() for patch in picture} for picture in level]
        assert [{patch.numpy().tobytes() for patch in picture} for picture in ours] == rows


def test_shuffling_leaves_global_chance_alone_and_a_batch_together() -> None:
    levels = patch_pyramid(torch.rand(3, 3, 64, 64))
    state = torch.get_rng_state()
    together = shuffled(levels, torch.Generator().manual_seed(0))
    alone = shuffled([level[2:] for level in levels], torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a[2:], b) for a, b in zip(together, alone, strict=True))
