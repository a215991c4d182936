"""Files that somebody may bring in place of a picture, and pictures of all kinds."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from datamodules.miniature.generate import draw


def drawing(content: str, style: str = "tattoo", seed: int = 1) -> bytes:
    """A PNG of one of the miniature's icons."""
    return encoded(draw(content, style, seed))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def unreadable() -> dict[str, tuple[bytes, str]]:
    """Name of a file -> its bytes, and what is said of it."""
    png, jpeg = drawing("dog"), encoded(draw("dog", "tattoo", 1), "JPEG")
    return {
        "nothing.png": (b"", "the file is empty"),
        "zeros.png": (bytes(1000), "not an image"),
        "text.jpg": (b"I am no picture.\n" * 50, "not an image"),
        "page.html": (b"<html><script>alert(1)</script></html>", "not an image"),
        "<script>alert(1)</script>.png": (b"x", "not an image"),
        "program.exe": (b"MZ" + bytes(500), "not an image"),
        "archive.zip": (b"PK\x03\x04" + bytes(200), "not an image"),
        "vector.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Pillow reads no .svg"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "Pillow reads no .eps"),
        "phone.heic": (b"\x00\x00\x00\x18ftypheic" + bytes(100), "Pillow reads no .heic"),
        "bomb.png": (bomb(50_000, 50_000), "decompression bomb"),
        "long.png": (bomb(60_000, 8), "times the other"),
        "cut.png": (png[: len(png) // 2], "cannot be read"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "cannot be read"),
        "head.png": (png[:20], "cannot be read"),
        "flipped.png": (png[:60] + bytes([png[60] ^ 255]) + png[61:], "cannot be read"),
        "fractions.tif": (encoded(Image.fromarray(np.ones((16, 16), np.float32)), "TIFF"), "fractions"),
        "../../etc/passwd": (b"root:x:0:0", "“passwd” cannot be read"),
        "C:\\windows\\win.ini": (b"[fonts]", "“win.ini” cannot be read"),
        "\u202egnp.exe": (b"MZ", "cannot be read"),
        "a" * 300 + ".png": (b"?", "cannot be read"),
    }


def readable() -> dict[str, bytes]:
    """Name of a file -> its bytes, which are a picture of an unusual kind."""
    icon, other = draw("dog", "tattoo", 1), draw("cat", "tattoo", 1)
    grey16 = Image.fromarray(np.linspace(0, 65535, 32 * 32, dtype=np.uint16).reshape(32, 32))
    return {
        "deep.png": encoded(grey16),
        "print.jpg": encoded(icon.convert("CMYK"), "JPEG"),
        "moving.gif": encoded(icon, "GIF", save_all=True, append_images=[other] * 3, duration=50),
        "moving.webp": encoded(icon, "WEBP", save_all=True, append_images=[other], lossless=True),
        "glass.png": encoded(icon.convert("RGBA").rotate(30)),
        "palette.png": encoded(icon.convert("P")),
        "bits.png": encoded(icon.convert("1")),
        "grey.jpg": encoded(icon.convert("L"), "JPEG"),
        "wrong suffix.jpg": encoded(icon),
        "no suffix": encoded(icon),
        "tiny.bmp": encoded(icon.resize((8, 8)), "BMP"),
        "turned.jpg": encoded(
            icon,
            "JPEG",
            exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00",
        ),
    }
