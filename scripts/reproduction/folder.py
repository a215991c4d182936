"""The output folder: which settings it was made with, which stages are finished, and who is using it."""

import json
from pathlib import Path
from typing import Any

from datamodules.files import write_text
from datamodules.folders import FolderLock
from datamodules.reading import read_json


class OutputFolder:
    """A folder that one run fills at a time, and that remembers its settings and finished stages.

    Args:
        path: where everything goes.
        settings: all that decides the results, by readable names.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        self.lock = FolderLock(path, "--output")  # stages inherit it: it outlives a killed parent until they end

    def open(self) -> None:
        """Take the folder for this process, and check or write its settings.

        Raises:
            ValueError: the folder was made with other settings, or holds files of something else.
            FolderInUseError: another run is using it.
        """
        known = self._known_settings()
        self.lock.take()
        if known is None:
            write_json(self.path / "settings.json", self.settings)

    def close(self) -> None:
        """Let another run take the folder."""
        self.lock.release()

    def check(self) -> None:
        """Raise as `open` does where the folder cannot be continued with these settings; touches nothing."""
        self._known_settings()

    def mark(self, stage: str) -> dict[str, Any] | None:
        """What `finish` noted about a finished stage; None for one that is not finished."""
        path = self._mark(stage)
        return read_json(path, "--output", "Remove it, to do its stage again.") if path.is_file() else None

    def finish(self, stage: str, **notes: Any) -> None:
        """Remember that a stage is finished."""
        write_json(self._mark(stage), notes)

    def _mark(self, stage: str) -> Path:
        return self.path / "stages" / f"{stage}.json"

    def _known_settings(self) -> dict[str, Any] | None:
        path = self.path / "settings.json"
        if not path.is_file():
            strangers = [each.name for each in self.path.glob("*") if each.name not in (".lock", "lock")]
            if strangers:
                raise ValueError(
                    f"`--output {self.path}` holds {', '.join(sorted(strangers)[:3])} but no `settings.json`, so "
                    "another program made it: expected an empty folder, a new one, or one of an earlier run. "
                    "Choose another `--output`."
                )
            return None
        known = read_json(path, "--output", "Choose another folder, or remove this one.")
        if known != self.settings:
            raise ValueError(_difference(self.path, known, self.settings))
        return known


def write_json(path: Path, value: Any) -> None:
    """Replace the file `path` by `value` as JSON in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def _difference(path: Path, known: dict[str, Any], wanted: dict[str, Any]) -> str:
    differing = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name)]
    lines = [f"  {name}: {known.get(name)} there, {wanted.get(name)} now" for name in differing]
    return (
        f"`--output {path}` was made with other settings:\n" + "\n".join(lines) + "\nIts results cannot be mixed with "
        "new ones. Give the same settings to continue it, choose another `--output`, or remove the folder."
    )
