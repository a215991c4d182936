"""Pictures embedded in a page, small ones pixel by pixel, large ones scaled down."""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from scripts.report.html_parts import Markup

LONGEST = 192  # pixels; more than a page shows
_PIXELATED = 128  # up to here a picture is enlarged without blurring


class Thumbnails:
    """Reads pictures for a page; those that are not there become a tile with their name, and are counted.

    Attributes:
        missing: Places of the pictures that could not be read.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self._known: dict[str, str | None] = {}

    def tile(self, place: str, alternative: str) -> Markup:
        """The picture at `place`, or a grey tile with its name."""
        if place not in self._known:
            self._known[place] = self._source(place)
        if (source := self._known[place]) is None:
            name = escape(Path(place).name)
            return Markup(f'<span class="tile missing" title="{escape(place)}"><span>{name}</span></span>')
        return Markup(f'<img class="tile{source}" alt="{escape(alternative)}" loading="lazy">')

    def _source(self, place: str) -> str | None:
        """The end of the picture's class and its `src`; None where it cannot be read."""
        try:
            with Image.open(place) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            self.missing.add(place)
            return None
        small = max(picture.size) <= _PIXELATED
        buffer = io.BytesIO()
        if small:
            picture.save(buffer, "PNG", optimize=True)
        else:
            picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
            picture.save(buffer, "JPEG", quality=85)
        kind, name = ("png", " pixels") if small else ("jpeg", "")
        return f'{name}" src="data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}'
