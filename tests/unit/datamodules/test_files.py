"""Files are whole under their name; what killed processes left goes, what others write stays."""

import errno
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import files
from datamodules.files import WriteError, cannot_write, replacing, slug, write_text
from tests.processes import beside, die, forked


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_tidied", set())


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "a.json") as file:
            file.write(b"half")
            file.flush()
            die()

    write_text(tmp_path / "a.json", "old")
    assert forked(write_half) == -9
    assert len(list(tmp_path.iterdir())) == 2 and (tmp_path / "a.json").read_text() == "old"
    files._tidied.clear()
    write_text(tmp_path / "other.json", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "other.json"}


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    def write(reached: Callable[[], None]) -> None:
        with replacing(tmp_path / "a.json"):
            reached()

    with beside(write):
        write_text(tmp_path / "other.json", "new")
        assert len(list(tmp_path.iterdir())) == 2
    files._tidied.clear()
    write_text(tmp_path / "other.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_the_error_of_a_full_disk_is_one_sentence_that_names_the_first_file(tmp_path: Path) -> None:
    error = cannot_write(tmp_path / "a.png", OSError(errno.ENOSPC, "No space left on device"))
    assert str(error).startswith(f"cannot write `{tmp_path}/a.png`: No space left on device. Free some space or choose")
    assert cannot_write(tmp_path, error) is error
    again = pickle.loads(pickle.dumps(error))  # between ranks
    assert isinstance(again, WriteError) and str(again) == str(error) and again.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Line art!", "line-art"), ("../a\\b:c", "a-b-c"), ("Crème", "creme"), ("日本", "x"), ("a" * 99, "a" * 40)],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected
