from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.images import damage, read_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def photo(size: tuple[int, int] = (64, 48)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def two_pixels(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (2, 1))
    image.putpixel((0, 0), left)
    image.putpixel((1, 0), right)
    return image


def pixels(data: bytes) -> list[tuple[int, ...]]:
    image = read_image(data)
    assert image.mode == "RGB"
    return [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()]


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_pixels_that_were_saved(format: str, options: dict[str, Any]) -> None:
    assert np.array_equal(np.asarray(read_image(encode(photo(), format, **options))), np.asarray(photo()))


def test_a_jpeg_gives_the_pixels_that_pillow_gives() -> None:
    data = encode(photo(), "JPEG", quality=90)
    assert np.array_equal(np.asarray(read_image(data)), np.asarray(Image.open(BytesIO(data))))


def test_grey_and_black_and_white_become_rgb() -> None:
    assert pixels(encode(two_pixels("L", 7, 200))) == [(7, 7, 7), (200, 200, 200)]
    assert pixels(encode(two_pixels("1", 0, 1))) == [(0, 0, 0), WHITE]


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    assert [red for red, *_ in pixels(encode(Image.fromarray(values)))] == [0, 1, 128, 255]


def test_transparent_pixels_show_white_and_half_transparent_ones_a_mixture() -> None:
    assert pixels(encode(two_pixels("RGBA", (255, 0, 0, 255), (255, 0, 0, 0)))) == [RED, WHITE]
    assert pixels(encode(two_pixels("RGBA", (255, 0, 0, 255), (255, 0, 0, 128)))) == [RED, (255, 127, 127)]
    assert pixels(encode(two_pixels("LA", (9, 255), (9, 0)))) == [(9, 9, 9), WHITE]


def test_a_palette_gives_its_colours_and_its_transparent_entry_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    assert pixels(encode(image)) == [RED, (0, 255, 0)]
    assert pixels(encode(image, transparency=1)) == [RED, WHITE]


def test_a_colour_declared_transparent_shows_white() -> None:
    assert pixels(encode(two_pixels("RGB", RED, (0, 0, 9)), transparency=(0, 0, 9))) == [RED, WHITE]


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = pixels(encode(image, "JPEG", quality=100))[0]
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_turned_upright_by_its_exif_tag(format: str) -> None:
    image = Image.new("RGB", (32, 16), "white")
    image.paste("black", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn clockwise to see it upright
    upright = read_image(encode(image, format, exif=exif))
    assert upright.size == (16, 32)
    assert np.asarray(upright)[:8].max() < 40
    assert np.asarray(upright)[-8:].min() > 215
    assert 0x0112 not in upright.getexif()


def test_a_damaged_exif_block_does_not_spoil_the_image() -> None:
    data = encode(photo(), "JPEG", exif=b"Exif\x00\x00 no tags at all")
    assert damage(data) is None
    assert read_image(data).size == (64, 48)


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (2, 1), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert pixels(data) == [RED, RED]


def test_whole_images_have_no_damage() -> None:
    assert [damage(encode(photo(), format)) for format in ("PNG", "JPEG", "WEBP")] == [None, None, None]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_images_are_found_by_the_full_decode(format: str, share: float) -> None:
    data = encode(photo((200, 150)), format)
    assert damage(data[: int(len(data) * share)])


def test_empty_files_and_files_that_are_no_images_are_named_so() -> None:
    assert damage(b"") == "the file is empty"
    assert damage(b"<html>not found</html>") == "not an image that Pillow can read"


def test_an_image_too_large_to_be_honest_is_damage_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "decompression bomb" in str(damage(encode(photo())))
