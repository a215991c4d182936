"""A folder of generated pictures: names without collisions, a line of JSON a picture, one setting."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from PIL import Image

from callbacks.files import cannot_write, digest, slug, write_png, write_text
from datamodules.reading import inside, parse_json, read_bytes, read_json, reading
from lightning_modules.outputs import Job

_MISSING = "(absent)"
_WAY_OUT = (
    "It tells which pictures lie beside it: give another folder (`--trainer.default_root_dir`, or `folder` of the "
    "prediction writer), or remove this one."
)


class Picture(NamedTuple):
    """One generated picture and what is said about it in its line."""

    name: str
    image: Image.Image
    line: dict[str, Any]


class PredictionFolder:
    """PNG files beside `generations-<rank>.jsonl` and `settings.json`.

    A picture is finished once its line stands, and the line is written after the picture: a run that stops in
    between does the picture again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = Lock()

    def open(self, settings: dict[str, Any]) -> set[str]:
        """Make the folder ready for `settings`, and return the names of the pictures that are finished in it.

        Raises:
            ValueError: if the pictures in it were made with other settings, or `settings.json` is damaged.
            OSError: if it cannot be written.
        """
        known = self.path / "settings.json"
        if known.exists() and any(self.path.glob("*.png")):  # a run that failed before its first picture binds nobody
            self._check(read_json(known, "folder", _WAY_OUT), json.loads(json.dumps(settings)))
        write_text(known, json.dumps(settings, indent=2) + "\n")
        for unfinished in self.path.glob(".*.tmp"):  # of earlier versions
            unfinished.unlink()
        finished: set[str] = set()
        for file in sorted(self.path.glob("generations-*.jsonl")):
            self._clean(file, finished)
        return finished

    def write(self, picture: Picture, rank: int) -> None:
        """Write a picture and then its line; safe to call from several threads."""
        write_png(self.path / picture.name, picture.image)
        lines = self.path / f"generations-{rank}.jsonl"
        try:
            with self._lock, open(lines, "a", encoding="utf-8") as file:
                file.write(json.dumps({"file": picture.name, **picture.line}) + "\n")
        except OSError as error:
            raise cannot_write(lines, error) from error

    def _check(self, there: dict[str, Any], now: dict[str, Any]) -> None:
        old, new = dict(_flat(there)), dict(_flat(now))
        differences = [
            f"`{key}` is {new.get(key, _MISSING)!r} and was {old.get(key, _MISSING)!r}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key, _MISSING) != new.get(key, _MISSING)
        ]
        if differences:
            raise ValueError(
                f"`folder`: the pictures in `{self.path}` were made with other settings: "
                f"{'; '.join(differences)}. Nothing was changed there. Give another folder "
                "(`--trainer.default_root_dir`, or `folder` of the prediction writer), or remove this one."
            )

    def _clean(self, file: Path, finished: set[str]) -> None:
        """Add the finished pictures of a file; other lines (cut off, picture removed, named before) leave it."""
        with reading(file, "folder", _WAY_OUT):
            texts = read_bytes(file).splitlines()
        lines = []
        for text in texts:
            line = self._finished(text)
            if line and line["file"] not in finished:
                finished.add(line["file"])
                lines.append(line)
        if len(lines) < len(texts):
            write_text(file, "".join(json.dumps(line) + "\n" for line in lines))

    def _finished(self, text: bytes) -> dict[str, Any] | None:
        """The line of a picture that lies in this folder."""
        try:
            line = parse_json(text)
            picture = inside(self.path, line["file"])
        except (ValueError, KeyError):
            return None
        return line if os.path.isfile(picture) and picture.stat().st_size > 0 else None


def picture_name(job: Job, method: str) -> str:
    """File name of a job's picture: readable, safe on every file system, and different for different jobs.

    Words are shortened to what file systems take; the last part, a fingerprint of all that decides the picture, keeps
    apart what looks the same after that. Where its references lie and what their files are called is no part of it.
    """
    exact = json.dumps([job.identity, method])
    words = [job.reference.content, job.reference.style, job.prompt, method, f"seed{job.seed}"]
    return "__".join([*map(slug, words), digest(exact.encode())]) + ".png"


def job_line(job: Job) -> dict[str, Any]:
    """A job as JSON; `others`, `negatives` and `content_image` stand in it only where the job has some."""
    return {
        "reference": _named(job.reference),
        "prompt": job.prompt,
        "sample": job.sample,
        "seed": job.seed,
        **_further(job),
        **({"content_image": _named(job.content_image)} if job.content_image is not None else {}),
    }


def _further(job: Job) -> dict[str, list[dict[str, Any]]]:
    """The references of a job besides its first; nothing of those that it lacks."""
    further = {"others": job.others, "negatives": job.negatives}
    return {name: [_named(reference) for reference in given] for name, given in further.items() if given}


def _named(reference: Any) -> dict[str, str]:
    """A reference without its place in today's set."""
    return {name: value for name, value in reference._asdict().items() if name != "index"}


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted key."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
