"""Finished stages are skipped, a failed one leaves the others' work, and every end says what to do next."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_modules.diffusion.config import SamplingSettings
from scripts.grids import Grid, variants
from scripts.reproduction import run
from scripts.reproduction.options import Options, parse
from scripts.reproduction.process import ROOT, StageFailedError
from scripts.reproduction.stages import SWEEP, fit, plan, sweep, validate

STAGES = ["dataset", "ip_adapter", "instantstyle", "masking", "image_adapter", "text_adapter", "sweep", "report"]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the stages that ran; the stage `failing` of the list fails while it is in there."""
    names: list[str] = []

    def run_stage(stage: Any, *_: object) -> dict[str, Any]:
        if f"failing {stage.name}" in names:
            raise StageFailedError(f"The stage “{stage.title}” failed: no memory")
        if f"interrupted {stage.name}" in names:
            raise KeyboardInterrupt
        names.append(stage.name)
        return {}

    monkeypatch.setattr(run, "_run_stage", run_stage)
    return names


def test_all_stages_in_order_then_nothing(done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--output", str(tmp_path / "out")]) == 0
    assert done == STAGES
    capsys.readouterr()
    assert run.main(["--output", str(tmp_path / "out")]) == 0
    assert done == STAGES
    assert capsys.readouterr().out == f"Finished: open {tmp_path / 'out' / 'report.html'}\n"


@pytest.mark.parametrize(
    ("reason", "code", "message"),
    [
        ("failing", 1, "The stage “Image-Adapter, training” failed: no memory\nFinished stages are kept"),
        ("interrupted", 130, "Stopped. The same command continues from here"),
    ],
)
def test_a_stopped_run_is_continued(
    reason: str, code: int, message: str, done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done.append(f"{reason} image_adapter")
    assert run.main(["--output", str(tmp_path / "out")]) == code
    assert message in capsys.readouterr().err
    assert done[1:] == STAGES[:4]
    done.clear()
    assert run.main(["--output", str(tmp_path / "out")]) == 0
    assert done == STAGES[4:]


def test_other_settings_end_with_a_message(done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.main(["--output", str(tmp_path / "out")])
    assert run.main(["--output", str(tmp_path / "out"), "--quick"]) == 2
    assert "variant: full there, quick now" in capsys.readouterr().err
    assert done == STAGES


def test_stages_are_maskst_calls(tmp_path: Path) -> None:
    options = parse(["--output", str(tmp_path), "--seed", "7"])
    assert [stage.name for stage in plan(options)] == STAGES
    arguments = validate(options, "masking")
    assert arguments[:4] == ["validate", "--config", "configs/predict/masking.yaml", "--trainer.devices=1"]
    assert {f"--data.root={tmp_path / 'data'}", "--data.seed=7", "--seed_everything=7"} <= set(arguments)
    assert f"--trainer.default_root_dir={tmp_path / 'runs' / 'masking'}" in arguments
    training = fit(options, "text_adapter")
    assert training[:3] == ["fit", "--config", "configs/fit/text_adapter.yaml"]
    assert {"--ckpt_path=last", "--model.seed=7"} <= set(training)
    assert not any("max_steps" in argument or "sampling" in argument for argument in [*arguments, *training])


def test_the_sweep_draws_the_trained_adapters_too(tmp_path: Path) -> None:
    options = Options(tmp_path, seed=7)
    [stage] = [stage for stage in plan(options) if stage.name == "sweep"]
    grids = yaml.safe_load((ROOT / SWEEP).read_text())["sweep"]
    assert sweep(options)[:3] == ["sweep", "--config", SWEEP]
    added = json.loads(sweep(options)[-1].removeprefix("--sweep+="))
    assert [Path(path).parts[-3:] for path in added["arguments"]["checkpoint"]] == [
        (method, "checkpoints", "last.ckpt") for method in ("image_adapter", "text_adapter")
    ]
    assert stage.settings == len(variants([Grid(**grid) for grid in grids], SamplingSettings())) + 2


def test_quick_asks_for_less_and_keeps_seven_evaluations(tmp_path: Path) -> None:
    options = Options(tmp_path, is_quick=True)
    training = fit(options, "image_adapter")
    values = dict(argument.removeprefix("--").split("=", 1) for argument in training if "=" in argument)
    steps, interval = int(values["trainer.max_steps"]), int(values["trainer.val_check_interval"])
    assert steps / interval + 1 == 7
    assert f"--scores.constant_steps={list(range(0, steps + 1, interval))}" in validate(options, "masking")
    assert int(values["data.evaluation_references"]) < 24


def test_a_real_set_takes_the_place_of_the_drawn_one(tmp_path: Path) -> None:
    arguments = validate(Options(tmp_path, data_root=tmp_path / "real"), "masking")
    place = arguments.index("--data=StyleReferences")
    real = tmp_path / "real"
    assert arguments[place + 1 : place + 3] == [
        f"--data.train={real / 'object'}",
        f"--data.test={real / 'object_test'}",
    ]
    assert not any(argument.startswith("--data.root") for argument in arguments)
