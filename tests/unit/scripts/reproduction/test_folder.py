"""A folder is continued with the settings that made it, by one run at a time."""

import json
import os
from pathlib import Path

import pytest

from datamodules.folders import FolderInUseError
from scripts.reproduction.folder import OutputFolder


def test_finished_stages_are_remembered(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "new", {"seed": 1})
    folder.open()
    assert folder.mark("masking") is None
    folder.finish("masking", seconds=2.5)
    again = OutputFolder(tmp_path / "new", {"seed": 1})
    again.check()
    assert again.mark("masking") == {"seconds": 2.5}
    assert json.loads((tmp_path / "new" / "settings.json").read_text()) == {"seed": 1}


def test_other_settings_are_named_with_the_way_out(tmp_path: Path) -> None:
    OutputFolder(tmp_path / "out", {"seed": 1, "variant": "quick", "old": 3}).open()
    with pytest.raises(ValueError, match="was made with other settings") as error:
        OutputFolder(tmp_path / "out", {"seed": 2, "variant": "quick"}).check()
    message = str(error.value)
    assert "\n  seed: 1 there, 2 now\n  old: 3 there, None now\n" in message
    assert "variant" not in message
    assert "choose another `--output`, or remove the folder" in message


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ValueError, match="holds holiday.jpg but no `settings.json`.*Choose another `--output`"):
        OutputFolder(tmp_path, {}).open()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_two_runs_cannot_use_one_folder(tmp_path: Path) -> None:
    first, second = (OutputFolder(tmp_path / "out", {}) for _ in range(2))
    first.open()
    with pytest.raises(FolderInUseError, match=f"`--output`: `.*out` is being written by process {os.getpid()} on "):
        second.open()
    second.close()
    first.close()
    second.open()
