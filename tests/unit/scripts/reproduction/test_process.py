"""A stage's process reports, fails with its last words, and ends with the one that started it."""

import os
from pathlib import Path

import pytest

from scripts.reproduction.process import StageFailedError, progress_arguments, progress_file, run_module

_SLEEPER = """
import json, os, sys, time
print("begun")
with open(sys.argv[3], "w") as file:
    file.write(str(os.getpid()))
with open(sys.argv[1], "w") as file:
    json.dump({"fraction": 0.25, "text": "training, step 1 of 4", "before": 0.0}, file)
os.rename(sys.argv[1], sys.argv[2])
while not os.path.exists(sys.argv[4]):
    time.sleep(0.01)
"""


@pytest.fixture
def lock(tmp_path: Path) -> int:
    return os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A module that reports once, writes down its process and waits for the file that one more argument names."""
    (tmp_path / "a_sleeper.py").write_text(_SLEEPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    log = tmp_path / "logs" / "stage.log"
    return ["a_sleeper", str(tmp_path / "new"), str(progress_file(log)), str(tmp_path / "pid")]


def test_progress_and_output_arrive(sleeper: list[str], tmp_path: Path, lock: int) -> None:
    reports = set()

    def report(fraction: float, text: str, before: float) -> None:
        reports.add((fraction, text, before))
        (tmp_path / "seen").touch()

    log = tmp_path / "logs" / "stage.log"
    run_module([*sleeper, str(tmp_path / "seen")], log, lock, report)
    assert reports == {(0.25, "training, step 1 of 4", 0.0)}
    assert log.read_text() == "begun\n"
    assert not progress_file(log).exists()


def test_a_failure_shows_the_last_lines_of_its_log(tmp_path: Path, lock: int) -> None:
    log = tmp_path / "stage.log"
    with pytest.raises(StageFailedError, match=f"exit code 1. The last lines of `{log}`:\n.*no_such_file"):
        run_module(["tokenize", "no_such_file"], log, lock, print)


def test_an_interruption_ends_the_process(sleeper: list[str], tmp_path: Path, lock: int) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_module([*sleeper, str(tmp_path / "never")], tmp_path / "logs" / "stage.log", lock, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_maskst_is_told_where_to_report(tmp_path: Path) -> None:
    assert progress_arguments(tmp_path / "masking.log") == [
        "--trainer.callbacks+=scripts.reproduction.watch.StageProgress",
        f"--trainer.callbacks.path={tmp_path / 'masking.progress'}",
        f"--trainer.callbacks.parent={os.getpid()}",
        "--trainer.callbacks.settings=1",
    ]
