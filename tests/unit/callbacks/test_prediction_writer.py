"""PredictionWriter in a real trainer: everything once, whatever stopped the run before."""

import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lightning import Trainer
from PIL import Image

from callbacks.prediction_writer import PredictionFolder, PredictionWriter, picture_name
from callbacks.ranks import refuse
from datamodules.batches import Reference
from tests.unit.callbacks.colours import Colours, JobData, colour_of, job_loader, make_jobs

MakeTrainer = Callable[..., Trainer]
JOBS = make_jobs(references=4, samples=2)  # 16, three a batch


def predict(make_trainer: MakeTrainer, folder: Path, module: Colours) -> Colours:
    trainer = make_trainer(PredictionWriter(str(folder)), logger=False)
    assert trainer.predict(module, JobData(JOBS, folder), return_predictions=False) is None
    return module


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "generations-0.jsonl").read_text().splitlines()]


def test_every_job_is_written_with_its_line(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    predict(make_trainer, tmp_path / "out", Colours())
    by_file = {line["file"]: line for line in lines(tmp_path / "out")}
    assert sorted(by_file) == sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert len(by_file) == len(JOBS)
    for job in JOBS:
        line = by_file[picture_name(job, "masking")]
        pixels = np.asarray(Image.open(tmp_path / "out" / line["file"]))
        assert (pixels == (colour_of(job) * 255).round().permute(1, 2, 0).numpy()).all()
        assert (line["prompt"], line["sample"], line["seed"]) == (job.prompt, job.sample, job.seed)
        assert Reference(job.reference.index, **line["reference"]) == job.reference
        assert line["share_masked"] == pytest.approx(job.reference.index / 10)
        assert line["settings"] == {"name": "masking", "sampling": {"steps": 3}}
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings == {"name": "masking", "sampling": {"steps": 3}}


def test_an_interrupted_run_goes_on_with_what_is_missing(
    make_trainer: MakeTrainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit):  # what Lightning makes of the Ctrl-C in the third batch
        predict(make_trainer, tmp_path, Colours(fail_at=2))
    done = {line["file"] for line in lines(tmp_path)}
    assert done == {picture_name(job, "masking") for job in JOBS[:6]}
    (tmp_path / picture_name(JOBS[1], "masking")).unlink()
    with caplog.at_level(logging.INFO):
        second = predict(make_trainer, tmp_path, Colours())
    assert second.generated == [JOBS[1], *JOBS[6:]]
    assert sorted(line["file"] for line in lines(tmp_path)) == sorted(picture_name(job, "masking") for job in JOBS)
    assert f"`{tmp_path}` holds 5 finished pictures" in caplog.text
    assert f"11 pictures were written to `{tmp_path}`; 5 lay there already." in caplog.text
    assert predict(make_trainer, tmp_path, Colours()).generated == []
    with pytest.raises(ValueError, match="`theta` is 0.8 and was"):  # though nothing is missing
        predict(make_trainer, tmp_path, Colours(theta=0.8))


def test_other_settings_stop_the_run_before_anything_is_generated(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    PredictionFolder(tmp_path).open({"name": "masking", "sampling": {"steps": 3}, "theta": 0.7})
    (tmp_path / "a-picture.png").touch()
    module = Colours(theta=0.8)
    with pytest.raises(ValueError, match=r"`theta` is 0.8 and was 0.7"):
        predict(make_trainer, tmp_path, module)
    assert module.generated == []


def test_a_full_disk_stops_the_run_with_the_path(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(self: Image.Image, *args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    module = Colours()
    with pytest.raises(OSError, match=r"cannot write `.*__.*\.png`: No space left on device"):
        predict(make_trainer, tmp_path, module)
    assert len(module.generated) == 6  # the error of the first batch surfaced at the end of the second
    assert not list(tmp_path.glob("*.png"))


def test_arguments(make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = make_trainer(PredictionWriter(), logger=False)
    trainer.predict(Colours("IP Adapter"), JobData(JOBS[:1]), return_predictions=False)
    assert len(list(Path("outputs/predict/ip-adapter").glob("*.png"))) == 1
    with pytest.raises(ValueError, match="`threads` must be at least 1, got 0: give 1"):
        PredictionWriter(threads=0)


def test_without_a_datamodule_finished_jobs_are_not_written_twice(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    for _ in range(2):
        trainer = make_trainer(PredictionWriter(str(tmp_path)), logger=False)
        trainer.predict(Colours(), job_loader(JOBS[:4]), return_predictions=False)
    assert len(lines(tmp_path)) == 4


def test_a_picture_that_is_not_finite_is_a_failure_and_is_tried_again(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    spoilt, writer = Colours(), PredictionWriter(str(tmp_path))
    spoilt.spoilt = [1]
    with pytest.warns(UserWarning, match=r"4 pictures could not be made:(\n .*__masking__.* not finite.*){4}"):
        make_trainer(writer, logger=False).predict(spoilt, JobData(JOBS), return_predictions=False)
    names = [picture_name(job, "masking") for job in JOBS if job.reference.index == 1]
    assert list(writer.failures) == names
    assert {path.name for path in tmp_path.glob("*.png")} == {picture_name(job, "masking") for job in JOBS} - {*names}
    first: Any = SimpleNamespace(is_global_zero=True)
    with pytest.raises(RuntimeError, match="4 pictures could not be made, .* the same command tries these again"):
        refuse(first, writer.failures)
    again = predict(make_trainer, tmp_path, Colours())
    assert [job.reference.index for job in again.generated] == [1] * 4
    assert len(list(tmp_path.glob("*.png"))) == len(JOBS)
