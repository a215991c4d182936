"""The door for files of others: what stays out, how much is read, and what is said."""

import os
from pathlib import Path

import pytest

from datamodules.reading import inside, parse_json, read_bytes, read_json, reading
from scripts.cli import raised_here
from tests.mutations import POINTER


class PanicException(BaseException):
    """As a library in Rust raises."""


def test_names_below_a_folder(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.png") == tmp_path / "a" / "b.png"
    assert inside(tmp_path, "a..b") == tmp_path / "a..b"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", ".", "a\0b", "\ud800", None, 3, ["a"]])
def test_names_that_lead_out_or_are_none(tmp_path: Path, name: object) -> None:
    with pytest.raises(ValueError, match="names nothing below|surrogates"):
        inside(tmp_path, name)


def test_devices_pipes_and_what_is_too_large_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    for name in ("zero", "pipe", "large"):
        with pytest.raises(OSError, match=f"{name} (is no regular file|has more than 4 bytes)"):
            read_bytes(tmp_path / name, most=4)
    assert read_bytes(tmp_path / "large", most=5) == b"12345"


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"[" * 100_000, b'"\xff"'])
def test_what_is_no_json_object(text: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON|not an object"):
        parse_json(text)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("model"), r"'.*a.json' is damaged, or something else \(it lacks 'model'\)\. Take another\.$"),
        (RuntimeError("two\n lines"), r"\(two lines\)"),
        (MemoryError(), r"\(MemoryError\)"),
        (PanicException("in Rust"), r"\(in Rust\)"),
    ],
)
def test_whatever_a_library_raises_names_file_and_argument(tmp_path: Path, error: BaseException, told: str) -> None:
    text = rf"^`--model.x` cannot be read: .*{told}"
    with pytest.raises(ValueError, match=text) as caught, reading(tmp_path / "a.json", "--model.x", "Take another."):
        raise error
    assert raised_here(caught.value) is caught.value


def test_a_pointer_and_what_the_system_says_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(POINTER)
    with pytest.raises(ValueError, match=r"\(a.json is a Git LFS pointer in place of the file: run `git lfs pull`\)"):
        read_json(tmp_path / "a.json", "x", "")
    with pytest.raises(FileNotFoundError, match=r"`x` cannot be read: '.*b.json' \(No such file or directory\)"):
        read_json(tmp_path / "b.json", "x", "")


def test_an_interruption_stays_one(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), reading(tmp_path, "x", ""):
        raise KeyboardInterrupt
