"""The door for files that others wrote: bounded, within their folder, and each fault told with the file's name."""

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any, TypeVar

Row = TypeVar("Row")
T = TypeVar("T")
MOST_BYTES = 1 << 30
"""Of a file that is read into memory as it is: 1 GiB."""


@contextmanager
def reading(
    path: Path, argument: str, expected: str, passing: type[Exception] | tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turns whatever a library raises over a file, or over what it holds, into an error that names the file.

    `argument` named the file, or the folder whose files are read; `expected` is sentences that say what should be
    there, and the way out; errors of `passing` already say all this.

    Raises:
        OSError: the operating system does not give the file.
        ValueError: it is damaged, or something else than was expected.
    """
    try:
        yield
    except passing:
        raise
    except BaseException as error:
        # A panic of a library in Rust is no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        told, reason = f"`{argument}` cannot be read: '{path}'", _reason(error, path)
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, f"{told} ({reason}). {expected}") from error
        raise ValueError(f"{told} is damaged, or something else ({reason}). {expected}") from error


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a file that is neither a device nor a pipe, of at most `most` bytes.

    Raises:
        OSError: it is larger, no file, or not given by the operating system.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is no regular file")
    with open(path, "rb") as file:
        content = file.read(most + 1)  # whatever its size is said to be
    if len(content) > most:
        raise OSError(f"{path} has more than {most} bytes")
    return content


def read_json(path: Path, argument: str, expected: str) -> dict[str, Any]:
    """The JSON object in a file; errors are those of `reading`."""
    with reading(path, argument, expected):
        return parse_json(read_bytes(path))


def parse_json(text: bytes) -> dict[str, Any]:
    """The JSON object in a text.

    Raises:
        ValueError: it is no JSON, nested too deeply, or something else than an object.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def inside(folder: Path, name: object) -> Path:
    """The path of what a file of others calls `name`, below the folder that it may speak of.

    Raises:
        ValueError: it would lead out of the folder, or can be no file's name.
    """
    parts = PurePath(name).parts if isinstance(name, str) else ()
    if not parts or PurePath(*parts).is_absolute() or ".." in parts or "\0" in str(name):
        raise ValueError(f"{name!r} names nothing below `{folder}`")
    os.fsencode(str(name))  # a lone surrogate is in no name
    return folder / PurePath(*parts)


def lines_of(file: Path, argument: str, expected: str) -> list[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers from 1 up; errors are those of `reading`."""
    with reading(file, argument, expected):
        # As bytes, because `str.splitlines` would also cut at characters that JSON allows within a text.
        lines = read_bytes(file).splitlines()
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def parse_rows(
    file: Path, argument: str, expected: str, rows: Sequence[tuple[int, Row]], parse: Callable[[int, Row], T], name: str
) -> list[T]:
    """What `parse` makes of the number and the values of each row of a file.

    Raises:
        ValueError: there is no row, or `parse` raised it: the line of each, and what is wrong with it.
    """
    if not rows:
        raise ValueError(f"`{argument}`: the file `{file}` has no {name}. Expected {expected}.")
    parsed, faults = [], []
    for number, row in rows:
        try:
            parsed.append(parse(number, row))
        except ValueError as fault:
            faults.append(f"line {number}: {fault}")
    if faults:
        raise ValueError(
            f"`{argument}`: {len(faults)} of {len(rows)} {name}s of `{file}` are faulty:\n  {listed(faults)}\n"
            f"Expected {expected}. Correct these {name}s, or take them out."
        )
    return parsed


def files_of(folder: Path, row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Path]:
    """The files that a row names under some of these names, by paths that are absolute or relative to `folder`.

    Raises:
        ValueError: one of them is no file.
    """
    paths = {name: folder / os.path.expanduser(row[name]) for name in names if name in row}
    missing = [str(path) for path in paths.values() if not os.path.isfile(path)]  # also where it can be no path
    if missing:
        raise ValueError(f"there is no file {' and no file '.join(missing)}")
    return paths


def listed(texts: Iterable[str], most: int = 20, between: str = "\n  ") -> str:
    """The first texts, one a line or with another text between them, "and N more" where there are more."""
    named = list(texts)
    if len(named) <= most:
        return between.join(named)
    end = between if "\n" in between else " "
    return between.join(named[:most]) + f"{end}and {len(named) - most} more"


def _reason(error: BaseException, path: Path) -> str:
    """What happened, in one line."""
    if pointers := [file.name for file in (path, *path.glob("*")) if _is_pointer(file)]:
        return f"{pointers[0]} is a Git LFS pointer in place of the file: run `git lfs pull`"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnpicklingError):  # whose text advises to run whatever is in the file
        return "no tensors and plain values alone, as `torch.save` writes them"
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return shorten(str(error), 200) or type(error).__name__


def _is_pointer(file: Path) -> bool:
    with suppress(OSError):
        return read_bytes(file, most=1024).startswith(b"version https://git-lfs")
    return False
