"""Files: whole or absent, and names that every file system takes."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.files import slug, to_pil, write_atomically, write_png, write_text


def test_pictures_survive_8_bits() -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    pictures = to_pil(pixels / 255)
    assert pictures[0].size == (5, 4)
    assert all((np.asarray(im) == x.permute(1, 2, 0).numpy()).all() for im, x in zip(pictures, pixels, strict=True))


def test_pictures_are_clamped_and_rounded() -> None:
    image = torch.tensor([-1.0, 2.0, 0.5])[None, :, None, None]
    assert to_pil(image)[0].getpixel((0, 0)) == (0, 255, 128)


def test_refuses_channels_last() -> None:
    with pytest.raises(ValueError, match=r"`images` must have shape \(batch, 3, .* got \(1, 8, 8, 3\)"):
        to_pil(torch.zeros(1, 8, 8, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Line art!", "line-art"), ("../a\\b:c", "a-b-c"), ("Crème", "creme"), ("日本", "x"), ("a" * 99, "a" * 40)],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    def full_disk(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "settings.json"
    write_text(path, "old")
    with pytest.raises(OSError, match="cannot write `.*settings.json`: No space left on device. Free some") as caught:
        write_atomically(path, full_disk)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write `.*x.png`: .*choose a folder that can be written"):
        write_png(tmp_path / "file" / "x.png", Image.new("RGB", (2, 2)))
