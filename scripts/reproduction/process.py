"""One stage as a process of its own: its memory is returned, and its crash leaves the others' work."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Report = Callable[..., None]  # of the fraction of the stage that is done, what it does, and `before`, see Display
_POLL_SECONDS, _STOP_SECONDS = 0.25, 20.0


class StageFailedError(RuntimeError):
    """A stage's process ended with an error."""


def run_module(command: Sequence[str], log: Path, lock: int, report: Report) -> None:
    """Run a module of ours as a program with arguments and report its progress; what it prints goes to `log`.

    Raises:
        StageFailedError: it ended with an error, whose last lines are in the message.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    progress = progress_file(log)
    progress.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[lock],
        )
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                _report(progress, report)
        finally:
            _stop(process)
    if process.returncode:
        raise StageFailedError(_failure(process.returncode, log))
    progress.unlink(missing_ok=True)


def progress_file(log: Path) -> Path:
    """Where a program whose output goes to `log` may write how far it is."""
    return log.with_suffix(".progress")


def progress_arguments(log: Path, settings: int = 1) -> list[str]:
    """Arguments of `maskst` that add the callback which writes that file; `settings` are those of a sweep."""
    return [
        "--trainer.callbacks+=scripts.reproduction.watch.StageProgress",
        f"--trainer.callbacks.path={progress_file(log)}",
        f"--trainer.callbacks.parent={os.getpid()}",
        f"--trainer.callbacks.settings={settings}",
    ]


def _report(progress: Path, report: Report) -> None:
    if progress.is_file():
        state: dict[str, Any] = json.loads(progress.read_text())
        report(state["fraction"], state["text"], before=state["before"])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process that still runs because this one was interrupted."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _failure(code: int, log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    tail = "\n".join(f"  {line}" for line in lines[-12:])
    return f"it ended with exit code {code}. The last lines of `{log}`:\n{tail}"
