"""Throughput on a clock that only tests move."""

from types import SimpleNamespace
from typing import Any

import pytest

from callbacks import throughput
from callbacks.throughput import Throughput


class Run:
    """A trainer that takes 2 s a batch, 50 s more in the first, 100 s an evaluation, and two batches a step."""

    def __init__(self, callback: Throughput, monkeypatch: pytest.MonkeyPatch) -> None:
        self.callback, self.time, self.batches, self.logged = callback, 0.0, 0, []  # type: ignore[var-annotated]
        logger = SimpleNamespace(log_metrics=lambda values, step: self.logged.append((step, values)))
        self.trainer: Any = SimpleNamespace(global_step=0, world_size=3, log_every_n_steps=2, loggers=[logger])
        monkeypatch.setattr(throughput, "_now", lambda: self.time)
        callback.on_train_start(self.trainer, None)  # type: ignore[arg-type]

    def train(self, batches: int) -> None:
        for _ in range(batches):
            batch = {"references": [None] * 5}
            self.callback.on_train_batch_start(self.trainer, None, batch, self.batches)  # type: ignore[arg-type]
            encoding = 0 if self.batches else 50
            self.time, self.batches = self.time + 2 + encoding, self.batches + 1
            self.trainer.global_step = self.batches // 2
            self.callback.on_train_batch_end(self.trainer, None, None, batch, self.batches)  # type: ignore[arg-type]

    def evaluate(self) -> None:
        self.callback.on_validation_start(self.trainer, None)  # type: ignore[arg-type]
        self.time += 100
        self.callback.on_validation_end(self.trainer, None)  # type: ignore[arg-type]


# 5 images x 3 ranks in 2 s a batch; two batches a step.
RATES = {"throughput/images_per_second": 7.5, "throughput/seconds_per_step": 4.0}


def test_rates_leave_the_first_step_and_evaluations_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Throughput(), monkeypatch)
    run.evaluate()  # the sanity check, before the first batch
    run.train(3)
    run.evaluate()
    run.train(5)
    run.evaluate()
    run.train(4)
    assert run.logged == [(2, RATES), (4, RATES), (6, RATES)]


def test_own_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Throughput(every_n_steps=3), monkeypatch)
    run.train(12)
    assert run.logged == [(3, RATES), (6, RATES)]


def test_the_first_step_counts_where_it_is_told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Throughput(every_n_steps=1), monkeypatch)
    run.train(4)
    [(first, values), second] = run.logged
    assert (first, values["throughput/seconds_per_step"], second) == (1, 54.0, (2, RATES))
    with pytest.raises(ValueError, match="`every_n_steps` must be at least 1, got 0: leave it out"):
        Throughput(every_n_steps=0)
