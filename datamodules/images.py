"""Image files that users bring: where they lie, and what they show as upright RGB, whatever their format."""

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePath
from typing import NamedTuple, NoReturn

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.batches import digest_of
from datamodules.files import write_atomically
from datamodules.reading import read_bytes

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".psd", ".qoi", ".tga"),
)
"""Of the files that are read; upper case is accepted too."""
# Raw files are unread because in some of them Pillow would find a small preview alone.
UNREAD = (
    *(".heic", ".heif", ".hif", ".jxl", ".svg", ".eps", ".xcf", ".exr", ".hdr"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2"),
)
"""Of images that cannot be read, and are named; files with yet other suffixes are not looked at."""
GREATEST_ASPECT = 100
"""Longer side / shorter side; encoders scale the shorter one to some hundred pixels."""

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "DIB", "GIF", "TIFF", "JPEG2000", "PPM", "PSD", "QOI", "TGA")


class ImageFile(NamedTuple):
    """The encoded bytes of one image: a file of its own, or a stretch of a shard."""

    path: Path
    member: str = ""
    """Its name within the shard, with suffix."""
    offset: int = 0
    size: int | None = None
    """Bytes of the stretch; None is the whole file."""

    @property
    def name(self) -> str:
        """The place, for messages."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    @property
    def suffix(self) -> str:
        """File suffix with its dot."""
        return PurePath(self.member or self.path).suffix

    def read(self) -> bytes:
        """The encoded image, untouched."""
        if self.size is None:
            return read_bytes(self.path)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def open(self, digest: str | None = None) -> tuple[Image.Image, str]:
        """The image, RGB, upright, in its own size, and the digest of its bytes.

        Raises:
            ValueError: Why it cannot be read, in one line, or that it has another digest than the expected one.
        """
        if self.suffix.lower() in UNREAD:
            raise ValueError(f"Pillow reads no {self.suffix}; save it as .png")
        try:
            data = self.read()
        except OSError as error:
            raise ValueError(error.strerror or str(error)) from error
        if digest not in (None, digest_of(data)):
            raise ValueError("it was replaced after the start")
        return read_image(data), digest_of(data)


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
            upright: Image.Image = image
            with suppress(Exception):  # a damaged EXIF block does not spoil the picture: it is shown as it is stored
                upright = ImageOps.exif_transpose(image)
            return _to_rgb(upright)
    except UnidentifiedImageError:
        raise ValueError("not an image that Pillow can read") from None
    except Exception as error:  # Pillow's decoders raise anything from OSError to SyntaxError on damaged bytes
        raise ValueError(str(error) or type(error).__name__) from error


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; hidden ones are left out."""
    return images_below(folder, 1)


def images_below(root: Path, depth: int | None = None) -> list[Path]:
    """The image files below a folder, by name; hidden ones are left out, and so is what lies in hidden folders.

    Links are followed, but none into a folder that is met anyway, or around the root: no file comes twice by them.
    Their paths below the root have at most `depth` parts; None: any number. OSError: a folder cannot be looked into.
    """
    top = Path(os.path.realpath(root))
    seen, found = {top}, list[Path]()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        deepest = depth is not None and len(Path(folder).relative_to(root).parts) + 1 >= depth
        folders[:] = [] if deepest else [name for name in sorted(folders) if _is_new(Path(folder, name), top, seen)]
        images = [name for name in names if name.lower().endswith((*SUFFIXES, *UNREAD)) and name[0] != "."]
        found += [Path(folder, name) for name in images]
    return sorted(found)


def _is_new(folder: Path, top: Path, seen: set[Path]) -> bool:
    """Whether a folder is met for the first time, and by no link to what is met without it or lies around the root."""
    real = Path(os.path.realpath(folder))
    below = real.relative_to(top).parts if real.is_relative_to(top) else ()
    is_met_anyway = not any(part.startswith(".") for part in below) if below else top.is_relative_to(real)
    if folder.name.startswith(".") or real in seen or (folder.is_symlink() and is_met_anyway):
        return False
    seen.add(real)
    return True


def _refuse(error: OSError) -> NoReturn:
    raise OSError(error.errno, f"the folder `{error.filename}` cannot be read ({error.strerror})") from error


def _check(image: Image.Image) -> None:
    """Raises ValueError if the header of an image tells that it is not to be decoded."""
    (width, height), most = image.size, Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ValueError(f"{width} x {height} pixels are more than {most}: too large, or a decompression bomb")
    if max(width, height) > GREATEST_ASPECT * min(width, height):
        raise ValueError(f"of its {width} x {height} pixels one side is more than {GREATEST_ASPECT} times the other")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of which nothing says what is white: save it with 8 bits a channel")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion would clip at 255 instead of scaling
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def write_png(path: Path, image: Image.Image) -> None:
    """Replace the file `path` by `image` as PNG in one step."""
    write_atomically(path, lambda file: image.save(file, format="PNG"))
