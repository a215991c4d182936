"""Scoring with bad input: pictures that cannot be read, other scores in the folder, wrong judges and data."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from lightning import Trainer

from callbacks.prediction_scores import PredictionScores
from callbacks.scoring.clip_judge import ClipJudge
from datamodules.predictions import Predictions
from tests.unit.callbacks.colours import ColourJudge, Colours, JobData, make_jobs
from tests.unit.callbacks.scored_pictures import rows_of, score, scores_into
from tests.unit.datamodules.folders import spoil

Make = Callable[..., Trainer]


def test_failures_are_counted_and_reported_once(make_trainer: Make, tmp_path: Path, data: Predictions) -> None:
    lost, spoilt, unnamed = (Path(data.predictions[n].path) for n in (0, 9, 31))
    lost.unlink()
    spoil(spoilt)
    lines = unnamed.parent / "generations-0.jsonl"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:-1]))
    data = Predictions(data.folders, data.references)
    with pytest.warns(UserWarning, match="cannot be") as warned:
        folder = score(make_trainer, scores_into(tmp_path, ColourJudge("colours")), data)
    texts = [str(warning.message) for warning in warned if "cannot be" in str(warning.message)]
    assert texts[0].startswith("1 of 32 pictures cannot be scored and are left out:\n  " + str(unnamed))
    assert texts[1].startswith(f"2 of 31 pictures cannot be read and have no scores:\n  {lost}: No such file")
    assert len(texts) == 2
    about = json.loads((folder / "scores.json").read_text())
    assert set(about["failures"]) == {str(lost), str(spoilt), str(unnamed)}
    assert about["pictures"] == len(rows_of(folder)) == 29
    assert [group["pictures"] for group in about["groups"]] == [7, 22]


def test_no_picture_can_be_read(make_trainer: Make, tmp_path: Path, data: Predictions) -> None:
    for prediction in data.predictions:
        Path(prediction.path).write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"(?s)None of the 32 pictures can be read:\n  .*and 22 more\nNo scores were"):
        score(make_trainer, scores_into(tmp_path, ColourJudge("colours")), data)


def test_scores_of_other_sources_stay(make_trainer: Make, tmp_path: Path, data: Predictions) -> None:
    scores = scores_into(tmp_path, ColourJudge("colours"))
    one = Predictions(f"{tmp_path}/0/", data.references)
    folder = score(make_trainer, scores, one)
    score(make_trainer, scores, one)  # the same again
    score(make_trainer, scores, data)  # and with more beside it
    with pytest.raises(ValueError, match=r"`.*scores` holds scores of `.*/0`, `.*/1`, and these are of `.*/0`\. No"):
        score(make_trainer, scores, one)
    (folder / "scores.parquet").write_text("[]")
    with pytest.raises(ValueError, match=r"holds scores of something else, and .* Give another `folder`, or rem"):
        score(make_trainer, scores, one)


@pytest.mark.parametrize("module, writer", [("pyarrow.csv", "write_csv"), ("pyarrow.parquet", "write_table")])
def test_a_full_disk_keeps_the_scores_that_lie_there(
    make_trainer: Make, tmp_path: Path, data: Predictions, monkeypatch: pytest.MonkeyPatch, module: str, writer: str
) -> None:
    def full(table: object, file: Any) -> None:
        file.write(b"the beginning")
        raise OSError(errno.ENOSPC, "No space left on device")

    scores = scores_into(tmp_path, ColourJudge("colours"))
    folder = score(make_trainer, scores, data)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(f"{module}.{writer}", full)
    with pytest.raises(OSError, match=r"cannot write `.*scores\..*`: No space left on device"):
        score(make_trainer, scores, data)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_contents_among_which_a_leak_is_sought(make_trainer: Make, tmp_path: Path, data: Predictions) -> None:
    found = {}
    for contents in (["A bird"], ["A zebra or o"], []):
        folder = score(make_trainer, scores_into(tmp_path, ColourJudge("colours"), contents=contents), data)
        found[contents[0] if contents else ""] = [row["leakage/leaked_among_all"] for row in rows_of(folder)]
    assert found[""] == [None] * 32
    assert sum(found["A zebra or o"]) < sum(found["A bird"])


def test_wrong_judges_and_data(tmp_path: Path, make_trainer: Make) -> None:
    with pytest.raises(ValueError, match=r"`judges`: two are named 'colours', .*\. Leave one out"):
        PredictionScores([ColourJudge("colours"), ColourJudge("other"), ClipJudge("colours")])
    with pytest.raises(ValueError, match="`judges` is empty: give one or more"):
        PredictionScores([])
    trainer = make_trainer(PredictionScores([ColourJudge()], str(tmp_path)), logger=False)
    with pytest.raises(ValueError, match="pictures of `Predictions`, and the step gave Generations. Give"):
        trainer.test(Colours(), JobData(make_jobs()), verbose=False)


def test_the_command_line_gives_judges() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(PredictionScores, "scores")
    given = ["--scores.judges=[{class_path: ClassifierJudge}, {class_path: ClipJudge, init_args: {model: a/b}}]"]
    scores = parser.instantiate_classes(parser.parse_args([*given, "--scores.folder=x"])).scores
    default = parser.instantiate_classes(parser.parse_args([])).scores
    assert [judge.name for judge in scores.judges] == ["miniature classifier", "a/b"]
    assert (scores.folder, default.folder, default.judges) == ("x", None, None)
