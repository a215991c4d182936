"""What each open page of the studio holds: the pictures that were brought to it, and those that were drawn last."""

import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePath
from threading import Event, Lock
from typing import NamedTuple

from PIL import Image

from datamodules.batches import digest_of
from datamodules.images import SUFFIXES, UNREAD, read_image
from datamodules.names import slug
from datamodules.vocabulary import shown
from scripts.studio.gallery import Gallery

MOST_BYTES = 32 << 20
"""Of one picture that is brought: 32 MiB."""
MOST_REFERENCES = 8
"""Style references on a desk, and content images."""
_MOST_DESKS = 64
_MOST_KEPT = 1 << 30  # bytes of all galleries
_SAFE = re.compile(r"\w[\w .()-]{0,79}(?<! )", re.ASCII)
_THUMBNAIL = 240  # pixels of the longer side


class Upload(NamedTuple):
    """A picture that was brought, which could be read."""

    name: str
    """Of its file, for people."""
    data: bytes
    """As they came."""
    digest: str
    thumbnail: bytes
    """A small PNG of it."""


def file_names(uploads: Sequence[Upload]) -> list[str]:
    """Names that every file system takes, and that differ without their suffixes: their own ones where these do."""
    names: dict[str, str] = {}
    for place, upload in enumerate(uploads, start=1):
        stem, suffix = PurePath(upload.name).stem, PurePath(upload.name).suffix.lower()
        stem = stem if _SAFE.fullmatch(stem) and stem.lower() not in names else f"{slug(stem)}_{place}"
        names[stem.lower()] = stem + (suffix if suffix in SUFFIXES else ".png")
    return list(names.values())


def received(name: str, data: bytes) -> Upload:
    """A picture that was brought under `name`.

    Raises:
        ValueError: it is too large, or no picture that can be read: one sentence, with its name.
    """
    name = shown(PurePath(name.replace("\\", "/")).name).lstrip("-")[:80] or "picture"
    if len(data) > MOST_BYTES:
        raise ValueError(f"“{name}” has more than {MOST_BYTES >> 20} MiB: save it smaller, and bring it again.")
    if (suffix := PurePath(name).suffix.lower()) in UNREAD:
        raise ValueError(f"“{name}” cannot be read: Pillow reads no {suffix}; save it as .png.")
    try:
        image = read_image(data)
    except ValueError as error:
        raise ValueError(f"“{name}” cannot be read: {str(error).rstrip('.')}.") from error
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return Upload(name, data, digest_of(data), png(image))


def png(image: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file, those that `write_png` writes."""
    file = BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


@dataclass
class Desk:
    """What one open page holds."""

    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """Nobody guesses it: whoever knows it sees the desk's pictures."""
    references: list[Upload] = field(default_factory=list)
    found: dict[str, str] = field(default_factory=dict)
    """By the digests of references, the words that were found for them."""
    layouts: list[Upload] = field(default_factory=list)
    """Content images."""
    faults: list[str] = field(default_factory=list)
    """What was said of the pictures that were brought last."""
    gallery: Gallery | None = None
    asked: list[Upload] = field(default_factory=list)
    """The pictures that the gallery was drawn of."""
    stop: Event = field(default_factory=Event)
    """Ends what is being drawn for this desk."""

    def bring(self, uploads: list[Upload], pile: list[Upload]) -> int:
        """Lay pictures on a pile of the desk, each once; returns how many found no place."""
        new = {upload.digest: upload for upload in [*pile, *uploads]}
        left = list(new.values())[MOST_REFERENCES:]
        pile[:] = list(new.values())[:MOST_REFERENCES]
        return len(left)


class Desks:
    """The desks of all open pages; of very many, those that were used last."""

    def __init__(self, most: int = _MOST_DESKS) -> None:
        self._most, self._lock = most, Lock()
        self._desks: OrderedDict[str, Desk] = OrderedDict()
        self._pages: OrderedDict[str, str] = OrderedDict()  # the key of its desk

    def __len__(self) -> int:
        """Number of desks."""
        return len(self._desks)

    def find(self, key: str) -> Desk | None:
        """The desk of this key, which is used now; None where it is gone."""
        with self._lock:
            if desk := self._desks.get(key):
                self._desks.move_to_end(key)
            return desk

    def drop_galleries(self, most: int = _MOST_KEPT) -> None:
        """Forget the galleries that were looked at longest ago, until the others are at most so many bytes."""
        with self._lock:
            kept = 0
            for desk in reversed(self._desks.values()):
                kept += desk.gallery.size if desk.gallery else 0
                if kept > most and desk.gallery and desk.gallery.over:
                    desk.gallery = None

    def open(self, page: str, key: str = "") -> Desk:
        """The desk of an open page; that of `key` where the page has none yet, or else a new one."""
        with self._lock:
            known = self._pages.get(page) or key
            desk = self._desks.get(known) or Desk()
            self._pages[page], self._desks[desk.key] = desk.key, desk
            self._pages.move_to_end(page)
            self._desks.move_to_end(desk.key)
            while len(self._pages) > 4 * self._most:
                self._pages.popitem(last=False)
            while len(self._desks) > self._most:
                self._desks.popitem(last=False)[1].stop.set()
            return desk
