import re
from collections.abc import Callable
from typing import Any

import pytest
from lightning import LightningModule, Trainer
from torch.utils.data import Dataset

from callbacks import picture_progress
from callbacks.picture_progress import PictureProgress
from datamodules.loaders import BatchLoader


class Numbers(Dataset[list[int]]):
    def __getitem__(self, indices: list[int]) -> list[int]:
        return indices


class Drawing(LightningModule):
    """Draws each batch in two steps; the last batch fails where it shall."""

    def __init__(self, bar: PictureProgress, fails: bool = False) -> None:
        super().__init__()
        self.bar, self.fails = bar, fails

    def predict_step(self, batch: list[int], batch_idx: int) -> None:
        for _ in range(2):
            self.bar.advance(len(batch) / 2)
            if self.fails and batch_idx:
                raise ValueError("no picture")

    test_step = predict_step


@pytest.fixture
def loader() -> BatchLoader[list[int]]:
    return BatchLoader(Numbers(), [[0, 1, 2, 3], [4, 5]])


def counts(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"(\d+ of \d+) pictures", text)))


def test_a_batch_counts_by_its_pictures_and_advances_inside(
    make_trainer: Callable[..., Trainer],
    loader: BatchLoader[list[int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(picture_progress, "_IN_A_LOG", 0.0)
    monkeypatch.setattr(picture_progress, "_BETWEEN", 0.0)
    announced: list[int] = []
    bar = PictureProgress(lambda pictures: announced.append(pictures) or "Drawing them.")  # type: ignore[func-returns-value]
    trainer = make_trainer(bar, enable_progress_bar=True)
    trainer.predict(Drawing(bar), loader, return_predictions=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert announced == [6]
    assert counts(err) == ["0 of 6", "2 of 6", "4 of 6", "5 of 6", "6 of 6"]
    trainer.test(Drawing(bar), loader, verbose=False)
    assert "Scoring: 6 of 6 pictures" in capsys.readouterr().err


def test_a_log_has_one_line_of_a_short_run(
    make_trainer: Callable[..., Trainer], loader: BatchLoader[list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    bar = PictureProgress()
    make_trainer(bar, enable_progress_bar=True).predict(Drawing(bar), loader, return_predictions=False)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Drawing")]
    assert re.fullmatch(r"Drawing: 6 of 6 pictures, [\d.e+]+ pictures/s, 00:00 left", line)


def test_an_error_ends_the_bar(
    make_trainer: Callable[..., Trainer], loader: BatchLoader[list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    bar = PictureProgress()
    with pytest.raises(ValueError, match="no picture"):
        make_trainer(bar, enable_progress_bar=True).predict(Drawing(bar, fails=True), loader, return_predictions=False)
    assert counts(capsys.readouterr().err) == ["5 of 6"]
    bar.advance(1)  # counts nothing any more
    assert capsys.readouterr().err == ""


def test_nothing_to_draw_has_no_bar(make_trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]) -> None:
    bar, nothing = PictureProgress(), BatchLoader[Any](Numbers(), [[]])
    make_trainer(bar, enable_progress_bar=True).predict(Drawing(bar), nothing, return_predictions=False)
    assert counts(capsys.readouterr().err) == []
