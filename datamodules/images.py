"""Opens the images that users bring, whatever their format, as upright RGB."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".psd", ".qoi", ".tga"),
)
"""Of the files that are read; upper case is accepted too."""
UNREAD = (".heic", ".heif", ".hif", ".jxl", ".svg", ".eps", ".xcf", ".exr", ".hdr")
RAW = (".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2")
"""In some of these Pillow would find a small preview alone."""
LOOKED_AT = (*SUFFIXES, *UNREAD, *RAW)
"""Of the files that are images: those that cannot be read are named. Files with other suffixes are not looked at."""
GREATEST_ASPECT = 100
"""Longer side / shorter side; encoders scale the shorter one to some hundred pixels."""

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "DIB", "GIF", "TIFF", "JPEG2000", "PPM", "PSD", "QOI", "TGA")


def read_image(data: bytes) -> Image.Image:
    """The decoded first frame of an encoded file: RGB, upright by its EXIF tag, transparency over white.

    Raises:
        ValueError: Why it cannot be read, in one line; nothing is decoded of what has too many pixels.
    """
    if not data:
        raise ValueError("the file is empty")
    Image.init()
    try:
        with Image.open(BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            _check(image)
            image.load()
            return _to_rgb(_upright(image))
    except UnidentifiedImageError:
        raise ValueError("not an image that Pillow can read") from None
    except Exception as error:  # Pillow's decoders raise anything from OSError to SyntaxError on damaged bytes
        raise ValueError(str(error) or type(error).__name__) from error


def damage(data: bytes) -> str | None:
    """Why `read_image` cannot read these bytes, in one line; None if it can."""
    try:
        read_image(data)
    except ValueError as error:
        return str(error)
    return None


def _check(image: Image.Image) -> None:
    """Raises ValueError if the header of an image tells that it is not to be decoded."""
    (width, height), most = image.size, Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ValueError(f"{width} x {height} pixels are more than {most}: too large, or a decompression bomb")
    if max(width, height) > GREATEST_ASPECT * min(width, height):
        raise ValueError(f"of its {width} x {height} pixels one side is more than {GREATEST_ASPECT} times the other")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of which nothing says what is white: save it with 8 bits a channel")


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
