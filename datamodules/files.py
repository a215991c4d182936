"""Names for files, and writing them so that a reader, or a run after a crash, never meets half of one."""

import errno
import fcntl
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image

_SUFFIX = ".maskst-tmp"
_tidied: set[Path] = set()


class WriteError(OSError):
    """A file cannot be written; the text names it and the way out."""

    def __str__(self) -> str:
        return str(self.strerror)


def cannot_write(path: Path, error: OSError) -> WriteError:
    """The same error with a text that names `path` and the way out."""
    if isinstance(error, WriteError):
        return error
    reason = error.strerror or str(error)
    return WriteError(
        error.errno,
        f"cannot write `{path}`: {reason}. Free some space or choose a folder that can be written, and start "
        "again: what is finished is kept",
    )


def digest(data: bytes, size: int = 8) -> str:
    """Short hexadecimal fingerprint of `data` (`size` bytes, twice as many characters)."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def slug(text: str, longest: int = 40) -> str:
    """`text` in a-z, 0-9 and "-", which every file system takes: "Line art!" becomes "line-art"."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:longest].strip("-") or "x"


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place in one step after the block; makes the folder.

    With `durable` it is on the disk, not only in the system's memory, before the old one goes.

    Raises:
        WriteError: naming `path` and the way out, if the disk is full or the folder cannot be written.
    """
    # The process number keeps two ranks apart that write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path.parent)
        with open_locked(temporary, wait=True) as file:  # type: ignore[union-attr]  # None only without waiting
            file.truncate()
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def write_atomically(path: Path, write: Callable[[BinaryIO], object], durable: bool = False) -> None:
    """Let `write` fill a file beside `path`, then put it in place in one step: see `replacing`."""
    with replacing(path, durable) as file:
        write(file)


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` by `text` in one step."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_png(path: Path, image: Image.Image) -> None:
    """Replace the file `path` by `image` as PNG in one step."""
    write_atomically(path, lambda file: image.save(file, format="PNG"))


def _tidy(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder, once; what others are writing now stays."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    for temporary in folder.glob(f".*{_SUFFIX}"):
        with suppress(OSError):
            if file := open_locked(temporary, wait=False):
                temporary.unlink(missing_ok=True)
                file.close()


def open_locked(path: Path, wait: bool) -> BinaryIO | None:
    """The file `path`, made where it is missing, for this process alone until it is closed.

    The system ends that with the process, however it ends. On a file system without locks nobody is kept out. None:
    another process has it and is not waited for.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.close()
            return None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                file.close()
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return file
        file.close()  # whoever had it has removed or renamed it meanwhile
