"""Control maps, each computed once."""

import hashlib
import json
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path

from PIL import Image

from datamodules.files import write_atomically
from lightning_modules.styleshot.detectors import Detector

# Part of every key: a change of what detectors draw makes the maps that older versions left unfit.
_VERSION = 1


class MapCache:
    """A detector that computes the map of each image once, and with a folder once for all runs.

    Args:
        detector: draws the maps.
        folder: keeps them as PNG files, named by the image's pixels and the detector's settings; None: they are kept
            in memory, compressed likewise.
    """

    def __init__(self, detector: Detector, folder: str | None = None) -> None:
        self.detector = detector
        self.folder = None if folder is None else Path(folder).expanduser()
        self._kept: dict[str, bytes] = {}

    def __call__(self, image: Image.Image) -> Image.Image:
        """The control map, RGB in the size of `image`.

        Raises:
            WriteError: the folder cannot be written.
        """
        key = self.key(image)
        kept = self._read(key)
        if kept is not None:
            return kept
        drawn = self.detector(image)
        encoded = BytesIO()
        drawn.save(encoded, format="PNG")
        self._keep(key, encoded.getvalue())
        return drawn

    def key(self, image: Image.Image) -> str:
        """Name of the map: the detector's, and a digest of its settings and of the image's size and pixels."""
        pixels = image.convert("RGB")
        told = json.dumps([_VERSION, self._settings, pixels.size], sort_keys=True)
        return f"{self.detector.name}-{hashlib.sha256(told.encode() + pixels.tobytes()).hexdigest()[:32]}"

    @cached_property
    def _settings(self) -> dict[str, int | float | str | bool]:
        return self.detector.settings  # which may read a file of weights

    def _read(self, key: str) -> Image.Image | None:
        with suppress(OSError):  # also of a file that is no picture or is cut off: it is drawn anew
            file = BytesIO(self._kept[key]) if key in self._kept else self._path(key)
            if file is not None:
                with Image.open(file) as image:
                    return image.convert("RGB")
        return None

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.png"

    def _keep(self, key: str, encoded: bytes) -> None:
        path = self._path(key)
        if path is None:
            self._kept[key] = encoded
            return
        write_atomically(path, lambda file: file.write(encoded))
