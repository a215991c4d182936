"""Folders that one process writes at a time, and that are replaced as a whole."""

import ctypes
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

from datamodules.files import cannot_write, open_locked

_HEIRS_SECONDS = 60.0  # how long processes may live on that a killed one had started and that have its lock
_POLL_SECONDS = 0.1
_log = logging.getLogger(__name__)
_held: WeakSet[IO[bytes]] = WeakSet()


class FolderInUseError(RuntimeError):
    """Another run writes into the folder."""


class FolderLock:
    """Keeps a folder for this process, until it is released or the process ends, however it ends.

    Args:
        folder: made if it is not there.
        argument: that named it, for the message.
        beside: the lock is a file beside the folder, which may then be replaced, in place of `.lock` in it.
    """

    def __init__(self, folder: Path, argument: str, beside: bool = False) -> None:
        self.folder, self.argument = folder, argument
        self.path = folder.with_name(f".{folder.name}.lock") if beside else folder / ".lock"
        self._file: IO[bytes] | None = None
        self._made = False

    def take(self, wait: bool = False) -> None:
        """Take the folder; nothing, where this lock has it already.

        Args:
            wait: for the other run, in place of an error.

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
            self._file.truncate()
            me = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            self._file.write(json.dumps(me).encode())
            self._file.flush()
        except OSError as error:
            self.release()
            raise cannot_write(self.path, error) from error
        _held.add(self._file)

    def release(self) -> None:
        """Let others take the folder."""
        if self._file is not None:
            if not self._file.closed:  # as in a child, whose parent goes on with it
                self.path.unlink(missing_ok=True)
                with suppress(OSError):  # something was written into it
                    if self._made:
                        self.folder.rmdir()
            with suppress(OSError):  # what a full disk did not take
                self._file.close()
            self._file = None

    def fileno(self) -> int:
        """The descriptor of a lock that was taken: whoever inherits it has the lock too."""
        assert self._file is not None
        return self._file.fileno()

    def _opened(self, wait: bool) -> IO[bytes]:
        until = time.monotonic() + _HEIRS_SECONDS
        while (file := open_locked(self.path, wait=False)) is None:
            holder = self._holder()
            if wait:
                _log.warning("Waiting for %s, which writes `%s`.", _said(holder), self.folder)
                file = open_locked(self.path, wait=True)
                assert file is not None
                return file
            if not _is_gone(holder) or time.monotonic() > until:
                raise FolderInUseError(
                    f"`{self.argument}`: `{self.folder}` is being written by {_said(holder)}. Wait until it has "
                    "ended, or give another folder; nothing was changed there."
                )
            time.sleep(_POLL_SECONDS)
        return file

    def _holder(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            return dict(json.loads(self.path.read_bytes()))
        return {}


def _said(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    return f"process {holder['process']} on {holder['host']} since {holder['since']}"


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote the lock has ended: who has it now, wrote nothing yet or was started by it."""
    if not holder:
        return True
    with suppress(PermissionError):  # of another user, and alive
        try:
            os.kill(int(holder["process"]), 0)
        except ProcessLookupError:
            return bool(holder["host"] == socket.gethostname())
    return False


def _close_in_child() -> None:
    for file in list(_held):
        file.close()


# A worker that outlives this process must not keep its locks.
os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def replacing_folder(target: Path, argument: str, wait: bool = False) -> Iterator[Path]:
    """The name of a folder to make, which becomes `target` in one step after the block, if it was made.

    Args:
        target: what is there stays until the new one is whole; then it goes.
        argument: that named it.
        wait: for another process that makes it, in place of an error.

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
        if error.errno is None or not _is_within(error.filename, staging):
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
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    at_cwd, exchange = -100, 2
    return bool(rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)


def _is_within(name: object, folder: Path) -> bool:
    """Whether an error is about a file in `folder`; one that names no file was raised while writing."""
    return name is None or Path(os.fsdecode(name)).is_relative_to(folder)  # type: ignore[arg-type]
