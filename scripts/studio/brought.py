"""The files that a browser brings, where Gradio keeps them for some minutes."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from datamodules.reading import read_bytes
from scripts.studio.desk import MOST_BYTES, Upload, received

_OLD_SECONDS = 300  # not at once: who brings the same picture has the same file


def read_brought(files: Any, folder: Path) -> tuple[list[Upload], list[str]]:
    """The pictures among `files`, what Gradio says of files in its `folder`, and a sentence for each other one.

    Those that were brought some minutes ago are removed.
    """
    uploads, faults = [], []
    for told in files if isinstance(files, list) else [files]:
        name = str(told.get("orig_name") or "picture") if isinstance(told, dict) else "picture"
        try:
            uploads.append(received(name, _taken(told, folder)))
        except ValueError as error:
            faults.append(str(error))
    for path in folder.glob("*/*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD_SECONDS:
                path.unlink()
                path.parent.rmdir()
    return uploads, faults


def _taken(told: Any, folder: Path) -> bytes:
    """The bytes of a file; ValueError where the folder has no such file."""
    path = Path(os.path.realpath(str(told.get("path")))) if isinstance(told, dict) else folder
    if not path.is_relative_to(os.path.realpath(folder)):
        raise ValueError("This is no file that was brought here: bring it again.")
    try:
        return read_bytes(path, MOST_BYTES + 1)
    except (OSError, ValueError):
        raise ValueError("This file did not arrive: bring it again.") from None
