"""What `maskst` reports to the display, and the pictures that it keeps for the figure."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from datamodules.batches import Job, Reference
from lightning_modules.outputs import Generations
from scripts.reproduction import watch
from scripts.reproduction.watch import EvaluationPictures, StageProgress


@pytest.fixture(autouse=True)
def no_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_WRITE_SECONDS", -1.0)
    monkeypatch.setattr(watch, "STEPS_PER_EVALUATION", 10)


def trainer(**changes: Any) -> Any:
    """A fit of 60 steps with 7 evaluations of 4 batches: in all the work of 13 evaluations."""
    values = {"global_step": 0, "max_steps": 60, "val_check_interval": 10, "num_val_batches": [4]}
    return SimpleNamespace(**values | changes, is_global_zero=True)


def state(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_progress_of_a_fit(tmp_path: Path) -> None:
    progress = StageProgress(str(tmp_path / "progress"), os.getppid())
    module: Any = None
    progress.on_validation_batch_end(trainer(), module, None, None, 1)
    expected = {"fraction": 0.5 / 13, "text": "evaluation at step 0, 50 %", "before": 0.0}
    assert state(tmp_path / "progress") == pytest.approx(expected)
    progress.on_train_batch_end(trainer(global_step=10), module, None, None, 9)
    assert state(tmp_path / "progress") == {"fraction": 2 / 13, "text": "training, step 10 of 60", "before": 0.0}
    progress.on_validation_batch_end(trainer(global_step=60), module, None, None, 3)
    assert state(tmp_path / "progress")["fraction"] == 1.0


def test_a_resumed_fit_says_what_was_done_before(tmp_path: Path) -> None:
    progress = StageProgress(str(tmp_path / "progress"), os.getppid())
    module: Any = None
    progress.on_train_start(trainer(global_step=20), module)
    progress.on_train_batch_end(trainer(global_step=21), module, None, None, 20)
    assert state(tmp_path / "progress") == pytest.approx(
        {"fraction": 5.1 / 13, "text": "training, step 21 of 60", "before": 5 / 13}
    )


def test_an_evaluation_alone_is_all_there_is(tmp_path: Path) -> None:
    progress = StageProgress(str(tmp_path / "progress"), os.getppid())
    module: Any = None
    progress.on_validation_batch_end(trainer(max_steps=-1, val_check_interval=1.0), module, None, None, 1)
    assert state(tmp_path / "progress")["fraction"] == 0.5


def test_a_sweep_counts_its_settings_and_those_that_lay_there_before(tmp_path: Path) -> None:
    progress = StageProgress(str(tmp_path / "progress"), os.getppid(), settings=4)
    module: Any = None
    sweep = trainer(num_predict_batches=[2])
    progress.setup(sweep, module, "predict")  # of which nothing is missing
    progress.setup(sweep, module, "predict")
    progress.on_predict_batch_end(sweep, module, None, None, 0)
    expected = {"fraction": 1.5 / 4, "text": "setting 2 of 4", "before": 1 / 4}
    assert state(tmp_path / "progress") == pytest.approx(expected)
    progress.setup(sweep, module, "predict")
    progress.on_predict_batch_end(sweep, module, None, None, 1)
    assert state(tmp_path / "progress") == pytest.approx({**expected, "fraction": 3 / 4, "text": "setting 3 of 4"})


def test_the_run_ends_when_nobody_reads(tmp_path: Path) -> None:
    module: Any = None
    with pytest.raises(SystemExit, match="process that started this one is gone"):
        StageProgress(str(tmp_path / "progress"), os.getppid() + 1).setup(trainer(), module, "fit")


def test_other_ranks_have_rank_0_as_their_parent(tmp_path: Path) -> None:
    other, module = trainer(), None
    other.is_global_zero = False
    StageProgress(str(tmp_path / "progress"), os.getppid() + 1).setup(other, module, "fit")  # type: ignore[arg-type]
    assert not (tmp_path / "progress").exists()


def test_pictures_of_the_first_references_and_first_prompt(tmp_path: Path) -> None:
    jobs = [
        Job(Reference(index, f"{index}", "dog", "statue", f"{index}"), prompt, 0, 42)
        for index in (7, 3, 5)
        for prompt in ("A rocket", "A flower")
    ]
    images = torch.stack([torch.full((3, 2, 2), place / 255) for place in range(6)])
    references = [Image.new("RGB", (2, 2), (job.reference.index, 0, 0)) for job in jobs]
    pictures = EvaluationPictures(references=2)
    module: Any = None
    values = {"log_dir": str(tmp_path), "global_step": 80, "state": SimpleNamespace(fn=None)}
    run: Any = SimpleNamespace(**values, is_global_zero=True)
    pictures.start(run, module)
    pictures.add(Generations(images[:3], jobs[:3], references[:3]))
    pictures.add(Generations(images[3:], jobs[3:], references[3:]))
    found = {path.relative_to(tmp_path / "pictures").as_posix() for path in tmp_path.rglob("*.png")}
    assert found == {"7.png", "3.png", "step_000080/7_a-rocket.png", "step_000080/3_a-rocket.png"}
    assert Image.open(tmp_path / "pictures" / "step_000080" / "3_a-rocket.png").getpixel((0, 0)) == (2, 2, 2)
    assert Image.open(tmp_path / "pictures" / "7.png").getpixel((0, 0)) == (7, 0, 0)
