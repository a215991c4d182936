"""How a command ends early: by Ctrl-C or SIGTERM, or with another of its processes.

Stopped by a signal, what is in hand is saved, a line says how to go on, and the code is 130 or 143.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

_SIGNALS = signal.SIGINT, signal.SIGTERM
_SAME_SECONDS = 1.0  # `timeout`, a terminal and the first of several processes send a signal more than once
_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_NAMED_SECONDS = 12.0  # Lightning looks after rank 0's processes every 5 seconds: it names the dead and ends the others
_GO_ON = "What is finished is kept; the same command goes on from there."


@dataclass
class Stop:
    """The signal that this process was stopped by, and what it does about it."""

    process: int = 0  # that the signals are handled in; 0: they are not
    number: int = 0
    deferred: bool = False  # whoever set this looks at `number` at the next place where it can end
    way_on: str = ""  # said at the end
    children: Sequence[subprocess.Popen[bytes]] = field(default_factory=list)  # that must be told

    @property
    def code(self) -> int:
        """The exit code; 0 of a process whose starter would take another for a crash and kill all."""
        is_started_by_lightning = os.environ.get("LOCAL_RANK", "0") != "0" and "RANK" not in os.environ
        return 0 if is_started_by_lightning else 128 + self.number

    def take(self) -> None:
        """Handle the signals, which a library may have taken meanwhile."""
        if self.process == os.getpid() and threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._handle)

    def raise_if_asked(self) -> None:
        """End the program, if a signal has come."""
        if self.number:
            raise SystemExit(self.code)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self.process and number == signal.SIGTERM:  # of a process that was forked
            os._exit(128 + number)
        if os.getpid() != self.process or self.number:  # or Ctrl-C in a data loader's, which its parent ends
            return
        self.number = number
        for child in self.children:
            child.send_signal(number)
        if not self.deferred:
            self.raise_if_asked()


STOP = Stop()
"""Of this process."""


@contextmanager
def stoppable(way_on: str = "Nothing was finished; the same command starts again.") -> Iterator[None]:
    """Ends the program within by the first signal as `STOP` says, and at once by the second.

    Args:
        way_on: what the user is told then, unless what runs within knows better.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    vars(STOP).update(vars(Stop(os.getpid(), way_on=way_on)))
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    with _ended_by_the_second_signal():
        STOP.take()
        try:
            yield
        except BaseException as error:
            if not STOP.number:
                raise
            if isinstance(error, Exception):
                STOP.way_on = f"On the way out: {error}\n{STOP.way_on}"
        finally:
            ended = replace(STOP)
            vars(STOP).update(vars(Stop()))
            for number, handler in before.items():
                signal.signal(number, handler)
    if ended.number:
        _end(ended)


def _end(stop: Stop) -> None:
    for child in stop.children:
        try:
            child.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
    ranks = [os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")]
    if set(ranks) == {"0"}:
        sys.stderr.write(f"\nStopped by {signal.Signals(stop.number).name}. {stop.way_on}\n")
    sys.exit(stop.code)


@contextmanager
def _ended_by_the_second_signal() -> Iterator[None]:
    """Even while the main thread is within a library and runs no Python: a thread is told of signals by a pipe."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    before = signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=ends[:1], daemon=True, name="second-signal").start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(ends[1])


def _watch(signals: int) -> None:
    first = 0.0
    while told := os.read(signals, 1):
        if told[0] in _SIGNALS:
            if first and time.monotonic() - first > _SAME_SECONDS:
                for child in STOP.children:
                    child.kill()
                os._exit(128 + told[0])
            first = first or time.monotonic()
    os.close(signals)


@contextmanager
def beside_rank_0() -> Iterator[None]:
    """Meanwhile ends this process, if rank 0 has started it, as soon as that one is gone."""
    done = threading.Event()
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        threading.Thread(target=_watch_parent, args=(os.getppid(), done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch_parent(parent: int, done: threading.Event) -> None:
    while os.getppid() == parent:
        if done.wait(_LOOK_SECONDS):
            return
    rank = os.environ["LOCAL_RANK"]
    sys.stderr.write(f"maskst: error: rank {rank} stops, because rank 0 (process {parent}) is gone. {_GO_ON}\n")
    sys.stderr.flush()
    os._exit(1)


def lost_rank(error: BaseException) -> RuntimeError | None:
    """What is said where processes were to meet and one did not come; None for another error."""
    if "gloo" not in str(error) and type(error).__name__ not in ("DistBackendError", "DistNetworkError"):
        return None
    time.sleep(_NAMED_SECONDS)
    return RuntimeError(
        f"another process of this run has ended, and none goes on without it: its words above say why. {_GO_ON}"
    )
