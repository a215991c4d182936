"""What a command of several processes says when one of them dies."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 1.0
_NAMED_SECONDS = 12.0  # Lightning looks after rank 0's processes every 5 seconds: it names the dead and ends the others
_GO_ON = "What is finished is kept; the same command goes on from there."


@contextmanager
def beside_rank_0() -> Iterator[None]:
    """Meanwhile ends this process, if rank 0 has started it, as soon as that one is gone."""
    done = threading.Event()
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        threading.Thread(target=_watch, args=(os.getppid(), done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(parent: int, done: threading.Event) -> None:
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
