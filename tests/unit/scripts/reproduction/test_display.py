"""Plain lines where there is no terminal, and a remaining time from the speed so far."""

import io

import pytest
from rich.console import Console

from scripts.reproduction import display as display_module
from scripts.reproduction.display import Display
from scripts.times import clock


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock_ = Clock()
    monkeypatch.setattr(display_module.time, "monotonic", clock_)
    return clock_


def test_lines_say_what_runs_and_what_remains(time: Clock) -> None:
    written = io.StringIO()
    with Display({"dataset": 1.0, "masking": 1.0, "training": 8.0}, Console(file=written, width=120)) as display:
        display.skip("dataset")
        display.begin("masking")
        time.now = 60.0
        assert display.end("masking") == 60.0
        display.begin("training")
        time.now = 180.0
        display.update("training", 0.25, "training, step 10 of 40")
        display.update("training", 0.25, "training, step 11 of 40")
    assert written.getvalue().splitlines() == [
        "dataset: done before",
        "masking (2 of 3) ...",
        "  finished in 1:00, about 8:00 remaining",
        "training (3 of 3) ...",
        "  training, step 10 of 40, about 6:00 remaining",
    ]


def test_what_a_resumed_stage_has_done_does_not_count_as_speed(time: Clock) -> None:
    with Display({"training": 10.0}, Console(file=io.StringIO())) as display:
        display.begin("training")
        display.update("training", 0.5, "training, step 5 of 10", before=0.5)
        assert display.remaining() == "remaining time not known yet"
        time.now = 20.0
        display.update("training", 0.75, "training, step 7 of 10", before=0.5)
        assert display.remaining() == "about 0:20 remaining"


def test_a_terminal_shows_a_bar_for_each_stage() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with Display({"masking": 1.0, "training": 8.0}, console) as display:
        display.begin("masking")
        display.update("masking", 0.5, "evaluation at step 0, 50 %")
    shown = written.getvalue()
    for expected in ("masking", "training", "in all", "50 %", "evaluation at step 0"):
        assert expected in shown


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0:00"), (59.6, "1:00"), (187, "3:07"), (4000, "66:40")])
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words
