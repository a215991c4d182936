"""What one request to the studio has drawn so far, and all of it as a zip."""

import json
import secrets
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

from datamodules.batches import Job


class Picture(NamedTuple):
    """One picture that was drawn."""

    job: Job
    """Its row's; the reference has the word that was found for it."""
    file: str
    """The name that `maskst predict` gives to its file."""
    png: bytes
    line: dict[str, Any]
    """What `maskst predict` writes beside it."""
    scores: dict[str, float]
    """Tag -> score by the backbone's judge."""
    share_masked: float | None


class Mask(NamedTuple):
    """What 2-means masking drops of one reference."""

    reference: str
    """Its key."""
    word: str
    told: str
    """How much is dropped, in words."""
    figure: bytes
    """Its sorted products with the threshold, SVG."""


@dataclass
class Gallery:
    """The pictures of one request: a row for each job, a column for each method."""

    methods: list[str]
    jobs: list[Job]
    command: str
    """The equal `maskst transfer`."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Method -> what decides its pictures besides their jobs."""
    pictures: dict[tuple[int, str], Picture] = field(default_factory=dict)
    """By row and method."""
    masks: list[Mask] = field(default_factory=list)
    failures: dict[tuple[int, str], str] = field(default_factory=dict)
    """By row and method, why there is no picture."""
    done: float = 0.0
    """Pictures, with the parts of those that are being drawn."""
    seconds: float = 0.0
    """Since the drawing began."""
    over: bool = False
    stopped: bool = False
    """Before all was drawn."""
    key: str = field(default_factory=lambda: secrets.token_urlsafe(8))

    @property
    def total(self) -> int:
        """Pictures that were asked for."""
        return len(self.jobs) * len(self.methods)

    @property
    def size(self) -> int:
        """Bytes of all that was drawn."""
        drawn = [picture.png for picture in self.pictures.values()] + [mask.figure for mask in self.masks]
        return sum(map(len, drawn))

    def zipped(self) -> bytes:
        """A folder for each method, as `maskst predict` writes it: pictures, their JSON lines, and the settings."""
        file = BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # PNGs are packed already
            for method in self.methods:
                drawn = [picture for (_, column), picture in sorted(self.pictures.items()) if column == method]
                for picture in drawn:
                    archive.writestr(f"{method}/{picture.file}", picture.png)
                if drawn:
                    lines = "".join(json.dumps({"file": each.file, **each.line}) + "\n" for each in drawn)
                    archive.writestr(f"{method}/generations-0.jsonl", lines)
                    archive.writestr(f"{method}/settings.json", json.dumps(self.settings[method], indent=2) + "\n")
        return file.getvalue()
