"""Images as they are decoded, whatever their format, and what is said of those that cannot be."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from datamodules.images import read_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def photo(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def two_pixels(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (2, 1), left)
    image.putpixel((1, 0), right)
    return image


def pixels(data: bytes) -> list[tuple[int, ...]]:
    image = read_image(data)
    assert image.mode == "RGB"
    return [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()]


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 90})])
def test_formats_give_the_pixels_that_pillow_gives(format: str, options: dict[str, Any]) -> None:
    data = encode(photo(), format, **options)
    assert np.array_equal(np.asarray(read_image(data)), np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("format", ["BMP", "TIFF", "GIF", "JPEG2000", "PPM", "TGA"])
def test_other_formats_are_read(format: str) -> None:
    assert read_image(encode(Image.new("RGB", (9, 7)), format)).size == (9, 7)


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (two_pixels("L", 7, 200), {}, [(7,) * 3, (200,) * 3]),
        (two_pixels("1", 0, 1), {}, [(0,) * 3, WHITE]),
        (two_pixels("RGBA", (*RED, 255), (*RED, 0)), {}, [RED, WHITE]),
        (two_pixels("RGBA", (*RED, 255), (*RED, 128)), {}, [RED, (255, 127, 127)]),
        (two_pixels("LA", (9, 255), (9, 0)), {}, [(9,) * 3, WHITE]),
        (two_pixels("RGB", RED, (0, 0, 9)), {"transparency": (0, 0, 9)}, [RED, WHITE]),
        (Image.fromarray(np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)), {}, [(0,), (1,), (128,), (255,)]),
    ],
)
def test_every_mode_becomes_rgb_with_white_behind(image: Image.Image, options: dict[str, Any], expected: Any) -> None:
    assert [pixel[: len(want)] for pixel, want in zip(pixels(encode(image, **options)), expected, strict=True)] == (
        expected
    )


def test_a_palette_gives_its_colours_and_its_transparent_entry_white() -> None:
    image = two_pixels("P", 0, 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert pixels(encode(image)) == [RED, (0, 255, 0)]
    assert pixels(encode(image, transparency=1)) == [RED, WHITE]


def test_cmyk_becomes_rgb() -> None:
    red, green, blue = pixels(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100))[0]
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
    assert read_image(encode(photo(), "JPEG", exif=b"Exif\x00\x00 no tags at all")).size == (64, 48)


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (2, 1), colour) for colour in ("red", "blue")]
    assert pixels(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)) == [RED, RED]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_images_are_found_by_the_full_decode(format: str, share: float) -> None:
    data = encode(photo((200, 150)), format)
    with pytest.raises(ValueError, match=r"\w"):
        read_image(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "^the file is empty$"),
        (b"<html>not found</html>", "^not an image that Pillow can read$"),
        (encode(Image.new("F", (9, 9)), "TIFF"), "fractions"),
        (encode(Image.new("RGB", (20_000, 1))), "of its 20000 x 1 pixels"),
        (encode(Image.new("RGB", (200, 160))), "200 x 160 pixels are more than 30000: .* decompression bomb"),
    ],
)
def test_what_cannot_be_read_is_told_and_is_not_decoded(monkeypatch: pytest.MonkeyPatch, data: bytes, why: str) -> None:
    monkeypatch.setattr(PngImageFile, "load", lambda image: pytest.fail("was decoded"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)
    with pytest.raises(ValueError, match=why):
        read_image(data)
