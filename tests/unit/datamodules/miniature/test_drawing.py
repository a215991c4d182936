from pathlib import Path

import pytest

from datamodules.miniature.drawing import drawn_once


def write(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "icon").write_text("drawn")


def fail(root: Path) -> None:
    write(root)
    raise KeyboardInterrupt


def test_a_folder_is_drawn_once_and_keeps_its_recipe(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "set"
    drawn_once(root, {"seed": 3}, write)
    assert {path.name: path.read_text() for path in root.iterdir()} == {
        "icon": "drawn",
        "recipe.json": '{"seed": 3}\n',
    }
    drawn_once(root, {"seed": 3}, fail)
    with pytest.raises(ValueError, match=r"was drawn with {'seed': 3}, but {'seed': 4} is asked for. Remove that"):
        drawn_once(root, {"seed": 4}, write)


def test_a_folder_that_was_not_drawn_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"was drawn with None, .* choose another one"):
        drawn_once(tmp_path, {"seed": 3}, fail)


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        drawn_once(tmp_path / "set", {"seed": 3}, fail)
    assert list(tmp_path.iterdir()) == []
    drawn_once(tmp_path / "set", {"seed": 3}, write)


def test_a_fault_of_the_disk_is_raised(tmp_path: Path) -> None:
    def full(root: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        drawn_once(tmp_path / "set", {}, full)
