"""A process of its own for a test, which may be killed at any point."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def forked(act: Callable[[], object]) -> int:
    """How a process that does `act` ended: 0, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def beside(act: Callable[[Callable[[], None]], object]) -> Iterator[int]:
    """A process in the middle of `act`, where that called its argument; killed after the block."""
    read, write = os.pipe()

    def reached() -> None:
        os.write(write, b".")
        signal.pause()

    child = os.fork()
    if child == 0:
        try:
            act(reached)
        finally:
            os._exit(1)
    os.close(write)
    assert os.read(read, 1) == b"."
    os.close(read)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
