"""A process of several ends, and says so, when rank 0 is gone or a collective breaks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import stopping

_OTHER = """import time; from scripts.stopping import beside_rank_0
with beside_rank_0(): print(flush=True); time.sleep(3600)"""
_RANK_0 = """import subprocess, sys
subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE).stdout.readline()  # until it watches"""


def test_a_process_ends_with_rank_0_and_names_it() -> None:
    environment = os.environ | {"LOCAL_RANK": "1"}
    begun = subprocess.run(
        [sys.executable, "-c", _RANK_0, _OTHER],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,  # until the other process has ended too, which holds the pipe
        text=True,
        timeout=3600,
        check=True,
    )
    assert "rank 1 stops, because rank 0 (process " in begun.stderr and "the same command goes on" in begun.stderr


def test_a_broken_collective_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_NAMED_SECONDS", 0.0)
    said = stopping.lost_rank(RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer"))
    assert said is not None and "another process of this run has ended" in str(said)
    assert stopping.lost_rank(RuntimeError("another")) is None
