"""What a measurement comes to: numbers beside their bars, and how they are taken."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

_NOISE = "logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"
QUIET: dict[str, Any] = dict.fromkeys(_NOISE, False)
"""Arguments of a Trainer that only computes."""


class Bar(NamedTuple):
    """One measured number and the bar that it must pass."""

    name: str
    value: float
    unit: str
    bar: float
    at_least: bool  # else at most
    details: Mapping[str, float | str]

    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of the bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar


class Row(NamedTuple):
    """An option without a bar: seconds a picture of each turn, those of its first run, or why there are none."""

    name: str
    seconds: list[float]
    first: float | None = None
    note: str = ""


def now() -> float:
    """Seconds, once the accelerator has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = now()
    function()
    return now() - begun


class Stopwatch:
    """Seconds between every start and the stop after it; both serve as hooks, whatever they are given."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def start(self, *_: object) -> None:
        """Begin."""
        self._begun = now()

    def stop(self, *_: object) -> None:
        """Note the time since the start."""
        self.times.append(now() - self._begun)


def by_turns(turns: int, *ways: Callable[[int], object]) -> list[list[float]]:
    """Seconds of each way in every turn, one way after the other; they are told which turn it is."""
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(turns):
        for way, noted in zip(ways, times, strict=True):
            noted.append(seconds(partial(way, turn)))
    return times


def spread(times: Sequence[float], digits: int = 2) -> str:
    """Smallest, median and largest."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(times), statistics.median(times), max(times)))
