"""Files and folders that are whole under their name: no reader, and no run after a crash, meets half of one."""

import ctypes
import errno
import fcntl
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from typing import BinaryIO
from weakref import WeakSet

_SUFFIX = ".maskst-tmp"
_held: WeakSet[BinaryIO] = WeakSet()


class WriteError(OSError):
    """A file cannot be written; the text names it and the way out."""

    def __str__(self) -> str:
        return str(self.strerror)


class FolderInUseError(RuntimeError):
    """Another run writes into the folder."""


def cannot_write(path: Path, error: OSError) -> WriteError:
    """The same error with a text that names `path` and the way out."""
    if isinstance(error, WriteError):
        return error
    way_out = "Free some space or choose a folder that can be written, and start again: what is finished is kept"
    return WriteError(error.errno, f"cannot write `{path}`: {error.strerror or error}. {way_out}")


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
        with _open_locked(temporary) as file:
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


class FolderLock:
    """Keeps a folder for this process, until it is released or the process ends, however it ends.

    It is made if it is not there; `argument` named it. `beside`: the lock lies beside it, which may then be replaced.
    """

    def __init__(self, folder: Path, argument: str, beside: bool = False) -> None:
        self.folder, self.argument = folder, argument
        self.path = folder.with_name(f".{folder.name}.lock") if beside else folder / ".lock"
        self._file: BinaryIO | None = None
        self._made = False

    def take(self, wait: bool = False) -> None:
        """Take the folder; nothing, where this lock has it already. `wait` for another run, in place of an error.

        Raises:
            FolderInUseError: another process has it, which is named.
            WriteError: the lock cannot be written.
        """
        if self._file is not None:
            return
        try:
            self._made = self.path.parent == self.folder and not self.folder.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._opened(wait)
            _held.add(self._file)
            self._file.truncate()
            me = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            self._file.write(json.dumps(me).encode())
            self._file.flush()
        except OSError as error:
            self.release()
            raise cannot_write(self.path, error) from error

    def release(self) -> None:
        """Let others take the folder."""
        if self._file is None:
            return
        if not self._file.closed:  # as in a child, whose parent goes on with it
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # something was written into it
                if self._made:
                    self.folder.rmdir()
        with suppress(OSError):  # what a full disk did not take
            self._file.close()
        self._file = None

    def _opened(self, wait: bool) -> BinaryIO:
        until = time.monotonic() + 60  # so long may live on what a killed process had started, and what has its lock
        while True:
            try:
                return _open_locked(self.path, wait=False)
            except BlockingIOError:
                holder, is_gone = self._holder()
            if wait:
                logging.getLogger(__name__).warning("Waiting for %s, which writes `%s`.", holder, self.folder)
                return _open_locked(self.path)
            if not is_gone or time.monotonic() > until:
                raise FolderInUseError(
                    f"`{self.argument}`: `{self.folder}` is being written by {holder}. Wait until it has "
                    "ended, or give another folder; nothing was changed there."
                )
            time.sleep(0.1)

    def _holder(self) -> tuple[str, bool]:
        """Who wrote the lock, and whether it has ended: who has it now wrote nothing yet, or was started by it."""
        try:
            process, host, since = json.loads(self.path.read_bytes()).values()
        except (OSError, ValueError, AttributeError):
            return "another process", True
        is_gone = False
        try:
            os.kill(process, 0)
        except OSError as error:  # PermissionError: of another user, and alive
            is_gone = isinstance(error, ProcessLookupError) and host == socket.gethostname()
        return f"process {process} on {host} since {since}", is_gone


@contextmanager
def replacing_folder(target: Path, argument: str, wait: bool = False) -> Iterator[Path]:
    """The name of a folder to make, which becomes `target` in one step after the block, if it was made.

    What is there stays until then. `argument` named the folder; `wait` for another process, in place of an error.

    Raises:
        FolderInUseError: another process makes it.
        WriteError: the disk is full, or the folder cannot be written.
    """
    lock = FolderLock(target, argument, beside=True)
    lock.take(wait)
    staging = target.with_name(f".{target.name}.partial")
    try:
        _recover(target)
        yield staging
        if staging.exists():
            _put(staging, target)
    except OSError as error:
        # An error that names no file was raised while writing.
        is_within = error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(staging)
        if error.errno is None or not is_within:
            raise
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        lock.release()


def has_left_overs(target: Path) -> bool:
    """Whether a killed process left something of `replacing_folder`, or another one is at it."""
    return any(target.parent.glob(f".{escape(target.name)}.*"))


def _recover(target: Path) -> None:
    """Put back what a killed process had only put aside, and remove what else it left."""
    for kind in ("old", "old-[0-9]*", "partial", "partial-[0-9]*"):  # earlier versions put their number at the end
        for left in target.parent.glob(f".{escape(target.name)}.{kind}"):
            if kind.startswith("old") and not target.exists():
                left.rename(target)
            else:
                shutil.rmtree(left, ignore_errors=True)


def _put(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
    elif not _exchange(staging, target):
        old = target.with_name(f".{target.name}.old")
        target.rename(old)  # the next run puts it back, should this one end here
        staging.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change their names in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    at_cwd, exchange = -100, 2
    return rename is not None and rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0


@cache
def _tidy(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder, once; what others are writing now stays."""
    for temporary in folder.glob(f".*{_SUFFIX}"):
        with suppress(OSError), _open_locked(temporary, wait=False):
            temporary.unlink(missing_ok=True)


def _open_locked(path: Path, wait: bool = True) -> BinaryIO:
    """The file `path`, made where it is missing, for this process alone until it is closed or the process ends.

    On a file system without locks nobody is kept out. BlockingIOError: another process has it and is not waited for.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                file.close()
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                return file
        file.close()  # whoever had it has removed or renamed it meanwhile


# A worker that outlives this process must not keep its locks.
os.register_at_fork(after_in_child=lambda: [file.close() for file in list(_held)])
