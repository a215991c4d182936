"""What a measurement comes to: numbers beside their bars, and how to take them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from rich.table import Table

QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
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


def spread(times: Sequence[float], digits: int = 2) -> str:
    """Smallest, median and largest."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(times), statistics.median(times), max(times)))


def as_table(bars: Sequence[Bar], title: str) -> Table:
    """The numbers beside their bars."""
    table = Table(title=title)
    for name in ("measured", "value", "bar", "passed"):
        table.add_column(name, no_wrap=True)
    table.add_column("medians")
    for bar in bars:
        side = "at least" if bar.at_least else "at most"
        details = ", ".join(f"{name.replace('_', ' ')} {_said(value)}" for name, value in bar.details.items())
        values = f"{bar.value:.3g} {bar.unit}", f"{side} {bar.bar:g} {bar.unit}", "yes" if bar.passed else "NO"
        table.add_row(bar.name, *values, details)
    return table


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
