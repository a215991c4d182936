import logging
import os
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch

from scripts import terminal
from scripts.cli import main
from scripts.terminal import Terminal, allowed_by_quota


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups and, in `own`, where this process is in it; it may run on eight CPUs."""
    monkeypatch.setattr(terminal, "_CGROUPS", tmp_path)
    monkeypatch.setattr(terminal, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def test_options_may_stand_anywhere_and_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASKST_LOG", raising=False)
    asked = Terminal()
    assert asked.read(["--quiet", "predict", "--config", "a.yaml"]) == ["predict", "--config", "a.yaml"]
    assert (asked.quiet, asked.threads, asked.debug) == (True, None, False)
    assert asked.read(["predict", "--threads", "3", "--data.seed=1", "--quiet"]) == ["predict", "--data.seed=1"]
    assert (asked.quiet, asked.threads) == (True, 3)
    monkeypatch.setenv("MASKST_LOG", "debug")
    assert asked.read(["fit", "--threads=12"]) == ["fit"]
    assert (asked.quiet, asked.threads, asked.debug) == (False, 12, True)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "", "²"])
def test_threads_are_a_number_from_1(text: str) -> None:
    expected = f"`--threads` is how many threads compute, a number from 1 up, and was {text!r}. Leave it out"
    with pytest.raises(ValueError, match=re.escape(expected)):
        main(["predict", "--threads", text])
    with pytest.raises(ValueError, match="a number from 1 up, and was ''"):
        Terminal().read(["predict", "--threads"])


def test_an_unknown_log_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKST_LOG", "loud")
    with pytest.raises(ValueError, match=r"`MASKST_LOG` was 'loud': set it to `debug`"):
        main(["--help"])


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"cpu.max": "250000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "1600000 100000"}, None),  # more than it may run on
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/gone/from/here", {"cpu.max": "400000 100000"}, 4),
        ("4:memory:/\n3:cpu,cpuacct:/job", {"cpu,cpuacct/job/cpu.cfs_quota_us": "500000"}, 5),
        ("3:cpu,cpuacct:/job", {"cpu,cpuacct/job/cpu.cfs_quota_us": "-1"}, None),
        ("", {}, None),
    ],
)
def test_a_quota_of_control_groups_is_seen(groups: Path, own: str, files: dict[str, str], expected: int | None) -> None:
    (groups / "own").write_text(own)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{text}\n")
        (groups / name).with_name("cpu.cfs_period_us").write_text("100000\n")
    assert allowed_by_quota() == expected


def test_threads_follow_what_is_asked_then_the_environment_then_the_quota(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    Terminal().set_threads()
    assert chosen == []
    Terminal(threads=5).set_threads()
    assert (chosen, os.environ["OMP_NUM_THREADS"]) == ([5], "5")
    monkeypatch.delenv("OMP_NUM_THREADS")
    Terminal().set_threads()
    assert "OMP_NUM_THREADS" not in os.environ  # PyTorch counts those that it may run on by itself
    (groups / "own").write_text("0::/")
    (groups / "cpu.max").write_text("200000 100000")
    Terminal().set_threads()
    assert (chosen, os.environ["OMP_NUM_THREADS"]) == ([5, 2], "2")


def test_words_of_libraries_are_told_apart_from_the_project_s() -> None:
    def record(level: int, path: str) -> logging.LogRecord:
        return logging.LogRecord("lightning.pytorch", level, path, 1, "said", None, None)

    assert terminal._is_ours(record(logging.INFO, terminal.__file__))
    assert not terminal._is_ours(record(logging.INFO, torch.__file__))
    assert terminal._is_ours(record(logging.WARNING, torch.__file__))


def test_a_caller_from_python_hears_its_libraries() -> None:
    before, asked = warnings.formatwarning, Terminal()
    asked.read(["predict"])
    asked.after_imports()
    assert warnings.formatwarning is before


def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert terminal._in_a_line("A prompt was cut.", UserWarning, "a.py", 3) == "maskst: warning: A prompt was cut.\n"
