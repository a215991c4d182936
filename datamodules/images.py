"""Opens the images that users bring, whatever their format, as upright RGB."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""Files with other suffixes are not looked at; upper case is accepted too."""


def read_image(data: bytes) -> Image.Image:
    """The fully decoded image of an encoded file: RGB, upright by its EXIF tag, transparency over white."""
    with Image.open(BytesIO(data)) as image:
        image.load()
        return _to_rgb(_upright(image))


def damage(data: bytes) -> str | None:
    """Why `read_image` cannot read these bytes, in one line; None if it can."""
    if not data:
        return "the file is empty"
    try:
        read_image(data)
    except UnidentifiedImageError:
        return "not an image that Pillow can read"
    except Exception as error:  # Pillow's decoders raise anything from OSError to SyntaxError on damaged bytes
        return str(error) or type(error).__name__
    return None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block does not spoil the picture: it is shown as it is stored
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit grey, which Pillow's own conversion would clip at 255 instead of scaling."""
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
