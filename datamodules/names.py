"""Names for files."""

import hashlib
import re
import unicodedata


def digest(data: bytes, size: int = 8) -> str:
    """Short hexadecimal fingerprint of `data` (`size` bytes, twice as many characters)."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def slug(text: str, longest: int = 40) -> str:
    """`text` in a-z, 0-9 and "-", which every file system takes: "Line art!" becomes "line-art"."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:longest].strip("-") or "x"
