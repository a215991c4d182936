"""Callbacks of a user join the project's own: none is lost, none is doubled, and each can be switched off."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.cli import SaveConfigCallback

from callbacks.image_grid import ImageGrid
from callbacks.own_folder import OwnFolder
from callbacks.prediction_writer import PredictionWriter
from scripts.cli import ROOT
from scripts.command import StopOnSignal
from scripts.commands import Commands
from scripts.sweep import Sweep

FIT = {"ImageGrid", "ModelCheckpoint", "LearningRateMonitor", "Throughput", "PictureProgress", "AlignmentScores"}
PREDICT = {"PredictionWriter", "PictureProgress", "AlignmentScores"}
QUIET = ["--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
CHECKPOINT = {"class_path": "ModelCheckpoint", "init_args": {"every_n_train_steps": 10}}
NOT_ASKED = SaveConfigCallback, StopOnSignal, OwnFolder
TIMER = "lightning.pytorch.callbacks.Timer"


class OwnGrid(ImageGrid):
    """Takes the place of the project's."""


class Parsed(Commands):
    """Does nothing with its trainer."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def parsed(command: str, *arguments: str) -> Parsed:
    config = {"fit": "fit/image_adapter", "predict": "predict/masking", "validate": "predict/masking"}[command]
    return Parsed([command, f"--config={ROOT}/configs/{config}.yaml", *QUIET, *arguments])


def by_name(made: Any) -> dict[str, Callback]:
    found = [callback for callback in vars(made.trainer)["callbacks"] if not isinstance(callback, NOT_ASKED)]
    assert len({type(callback) for callback in found}) == len(found)
    return {type(callback).__name__: callback for callback in found}


@pytest.mark.parametrize(
    ("command", "listed", "expected"),
    [
        ("predict", {"class_path": TIMER}, PREDICT | {"Timer"}),  # one, not in a list
        ("predict", "Throughput", PREDICT | {"Throughput"}),
        ("predict", [{"class_path": TIMER}], PREDICT | {"Timer"}),
        ("predict", [], PREDICT),
        ("predict", None, PREDICT),
        ("validate", [TIMER], {"ImageGrid", "PictureProgress", "AlignmentScores", "Timer"}),
        ("fit", [TIMER, "RichProgressBar"], FIT - {"PictureProgress"} | {"Timer", "RichProgressBar"}),
        ("fit", CHECKPOINT, FIT),
        ("fit", [f"{__name__}.OwnGrid"], FIT - {"ImageGrid"} | {"OwnGrid"}),
        ("fit", [{"class_path": "AlignmentScores", "init_args": {"contents": ["A dog"]}}], FIT),
    ],
)
def test_callbacks_of_a_config_join_the_project_s_own(
    command: str, listed: Any, expected: set[str], tmp_path: Path
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"callbacks": listed}}))
    assert set(by_name(parsed(command, "--config", str(config)))) == expected


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (["--image_grid=null", "--throughput=null"], {"ImageGrid", "Throughput"}),
        (["--checkpoint=null"], {"ModelCheckpoint"}),
        (["--trainer.enable_progress_bar=false"], {"PictureProgress"}),
        (
            ["--trainer.enable_checkpointing=false", "--trainer.logger=false"],
            {"ModelCheckpoint", "LearningRateMonitor"},
        ),
    ],
)
def test_each_is_switched_off(arguments: list[str], gone: set[str]) -> None:
    assert set(by_name(parsed("fit", *arguments))) == FIT - gone


def test_what_configures_one_of_them_keeps_the_rest_of_it_and_comes_back_from_the_saved_config(tmp_path: Path) -> None:
    checkpoint = json.dumps([CHECKPOINT, {"class_path": TIMER}])
    grid = ["--trainer.callbacks+=ImageGrid", "--trainer.callbacks.references=3"]
    made = parsed("fit", f"--trainer.callbacks={checkpoint}", *grid, "--throughput=null", "--learning_rate=null")
    [saves] = [callback for callback in vars(made.trainer)["callbacks"] if isinstance(callback, SaveConfigCallback)]
    saves.parser.save(saves.config, tmp_path / "config.yaml", skip_unset=False)
    again = Parsed(["fit", f"--config={tmp_path / 'config.yaml'}"])
    for found in by_name(made), by_name(again):
        assert set(found) == FIT - {"Throughput", "LearningRateMonitor"} | {"Timer"}
        saved = vars(found["ModelCheckpoint"])
        values = [saved[name] for name in ("filename", "save_last", "save_top_k", "_every_n_train_steps")]
        assert values == ["step_{step:06d}", True, -1, 10]
        assert vars(found["ImageGrid"])["references"] == 3


def test_a_sweep_has_its_writer_too() -> None:
    grids = [{"condition": "Masking"}]
    writer = json.dumps([{"class_path": "PredictionWriter", "init_args": {"threads": 2}}, {"class_path": TIMER}])
    made = Sweep([*QUIET, f"--sweep={json.dumps(grids)}", f"--trainer.callbacks={writer}"])
    found = by_name(made)
    assert {"PredictionWriter", "PredictionScores", "Timer"} <= set(found)
    assert made.writers == [found["PredictionWriter"]]
    assert made.writers[0].threads == 2
    with pytest.raises(ValueError, match="`writer`: a sweep scores what one PredictionWriter writes, got 0"):
        Sweep([*QUIET, f"--sweep={json.dumps(grids)}", "--writer=null"])


def test_a_writer_of_the_user_s_writes_into_the_run_s_folder(tmp_path: Path) -> None:
    made = parsed("predict", f"--trainer.default_root_dir={tmp_path}", "--trainer.callbacks=PredictionWriter")
    writer = by_name(made)["PredictionWriter"]
    assert isinstance(writer, PredictionWriter)
    assert writer.folder == str(tmp_path)
