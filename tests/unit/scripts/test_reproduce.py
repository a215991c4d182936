"""Finished stages are skipped, a failed one leaves the others' work, and every end says what to do next."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from datamodules.files import FolderLock
from lightning_modules.diffusion.config import Backbone
from scripts import reproduce
from scripts.cli import ROOT
from scripts.reproduce import METHODS, SWEEP, check, main, parse, plan, settings_of
from scripts.stopping import STOP

STAGES = [
    *(f"{title}, evaluation" for title in ("IP-Adapter", "InstantStyle", "Masking")),
    *("Image-Adapter, training", "Text-Adapter, training", "strengths of all methods"),
]
STEPS = [0, 1, 2]


def test_defaults_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse([])
    assert (options.output, options.seed, options.quick) == (Path("outputs/reproduce"), 42, False)
    assert (options.data_root, options.config, options.fit_config) == (None, [], [])
    with pytest.raises(SystemExit) as end:
        parse(["--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for expected in ("--quick", "about 3 minutes", "FOLDER/object holds the train references", "report.html"):
        assert expected in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "none.yaml"], "`--config` none.yaml is no file: expected a YAML"),
        (["--fit-config", "none.yaml"], "`--fit-config` none.yaml is no file"),
        (["--data-root", "."], "`--data-root` . has no folder `object`: expected `object` with the train references"),
        (["--seed", "-1"], "`--seed` is a number from 0 to 4294967295 and was -1."),
    ],
)
def test_errors_teach(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_settings_follow_everything_that_decides_the_results(tmp_path: Path, data: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("model: 1")
    arguments = ["--config", str(config), "--data-root", str(data)]
    settings = settings_of(parse(arguments))
    assert settings["variant"] == "full"
    named = {name.removeprefix("contents of ") for name in settings}
    assert {*METHODS.values(), SWEEP, "configs/defaults/fit.yaml", "configs/backbone/miniature.yaml"} < named
    config.write_text("model: 2")
    (data / "object" / "a.jpg").write_bytes(b"2")
    changed = settings_of(parse([*arguments, "--quick", "--output", "elsewhere"]))
    differing = {name for name in settings if settings[name] != changed[name]}
    assert differing == {"variant", f"contents of {config}", "contents of the data root"}


def test_other_settings_are_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 1, "variant": "quick", "old": 3}))
    check(tmp_path, {"seed": 1, "variant": "quick", "old": 3})
    with pytest.raises(ValueError, match="was made with other settings") as error:
        check(tmp_path, {"seed": 2, "variant": "quick"})
    assert "\n  seed: 1 there, 2 now\n  old: 3 there, None now\n" in str(error.value)
    assert "variant" not in str(error.value)
    assert "choose another `--output`, or remove the folder" in str(error.value)


def test_a_folder_of_something_else_or_of_another_run_is_not_touched(
    done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holiday.jpg").touch()
    assert main(["--output", str(tmp_path)]) == 2
    assert "holds holiday.jpg but no `settings.json`" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    lock = FolderLock(tmp_path / "out", "--output")
    lock.take()
    assert main(["--output", str(tmp_path / "out")]) == 2
    lock.release()
    assert "`--output`: `" in capsys.readouterr().err and done == []


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Methods of the commands that ran; one fails or is stopped while "failing METHOD" or "stopped METHOD" is there."""
    names: list[str] = []

    def run(arguments: list[str]) -> None:
        [root] = [each for each in arguments if each.startswith("--trainer.default_root_dir=")]
        name = Path(root).name
        if f"failing {name}" in names:
            raise RuntimeError("no memory")
        if f"stopped {name}" in names:
            STOP.way_on = "`last.ckpt` has step 3"
            raise SystemExit(130)
        names.append(name)

    monkeypatch.setattr(reproduce.cli, "main", run)
    monkeypatch.setattr(reproduce, "write_report", lambda *_, **__: tmp_path / "out" / "report.html")
    return names


def test_all_stages_in_order_then_nothing(done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["--output", str(tmp_path / "out")]) == 0
        assert done == [*METHODS, "sweep"]
    first, second = capsys.readouterr().out.split("Finished", 1)
    assert re.search(r"4 of 6: Image-Adapter, training, \d+:\d\d after the start\n", first)
    assert re.search(r"6 of 6: strengths of all methods: done before, in \d+:\d\d\n", second)
    assert second.endswith(f"open {tmp_path / 'out' / 'report.html'}\n")


def test_a_failed_stage_is_repeated_and_the_others_are_kept(
    done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done.append("failing image_adapter")
    assert main(["--output", str(tmp_path / "out")]) == 1
    message = "The stage “Image-Adapter, training” failed: no memory\nFinished stages are kept: the same command"
    assert message in capsys.readouterr().err
    assert done[1:] == [*METHODS][:3]
    done.clear()
    assert main(["--output", str(tmp_path / "out")]) == 0
    assert done == [*METHODS, "sweep"][3:]


def test_a_stopped_stage_says_that_the_same_command_goes_on(done: list[str], tmp_path: Path) -> None:
    done.append("stopped text_adapter")
    with pytest.raises(SystemExit) as end:
        main(["--output", str(tmp_path / "out")])
    assert (end.value.code, STOP.way_on) == (130, "The same command continues from here; finished stages are kept.")
    assert json.loads((tmp_path / "out" / "finished.json").read_text()).keys() == {*STAGES[:4]}
    FolderLock(tmp_path / "out", "--output").take()  # it was released


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A set of the user's own."""
    for name in ("object", "object_test"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "object" / "a.jpg").write_bytes(b"1")
    return tmp_path / "data"


def test_stages_are_maskst_calls(tmp_path: Path, data: Path) -> None:
    stages = plan(parse(["--output", str(tmp_path), "--seed", "7"]))
    assert [*stages] == STAGES
    _, _, masking, _, training, sweep = stages.values()
    assert masking[:4] == ["validate", "--config", "configs/predict/masking.yaml", "--trainer.devices=1"]
    assert {f"--data.root={tmp_path / 'data'}", "--data.seed=7", "--seed_everything=7"} <= set(masking)
    assert f"--trainer.default_root_dir={tmp_path / 'runs' / 'masking'}" in masking
    assert training[:3] == ["fit", "--config", "configs/fit/text_adapter.yaml"]
    assert {"--ckpt_path=last", "--model.seed=7"} <= set(training)
    assert not any("max_steps" in argument or "sampling" in argument for argument in [*masking, *training])
    assert sweep[:3] == ["sweep", "--config", SWEEP]
    added = json.loads(sweep[-1].removeprefix("--sweep+="))
    assert [Path(path).parts[-3:] for path in added["arguments"]["checkpoint"]] == [
        (method, "checkpoints", "last.ckpt") for method in ("image_adapter", "text_adapter")
    ]
    _, _, masking, *_ = plan(parse(["--data-root", str(data)])).values()
    place = masking.index("--data=StyleReferences")
    sets = [f"--data.train={data / 'object'}", f"--data.test={data / 'object_test'}"]
    assert masking[place + 1 : place + 3] == sets
    assert not any(argument.startswith("--data.root") for argument in masking)


def test_configs_of_the_user_come_last_and_those_of_fits_to_fits_alone(tmp_path: Path) -> None:
    mine, fits = tmp_path / "mine.yaml", tmp_path / "fits.yaml"
    mine.touch(), fits.touch()
    _, _, masking, _, training, sweep = plan(parse(["--config", str(mine), "--fit-config", str(fits)])).values()
    assert training[3:8] == ["--trainer.devices=1", "--config", str(mine), "--config", str(fits)]
    assert str(mine) in sweep and str(fits) not in [*sweep, *masking]


def test_quick_asks_for_less_and_keeps_seven_evaluations(tmp_path: Path) -> None:
    _, _, masking, training, *_ = plan(parse(["--output", str(tmp_path), "--quick"])).values()
    values = dict(argument.removeprefix("--").split("=", 1) for argument in training if "=" in argument)
    steps, interval = int(values["trainer.max_steps"]), int(values["trainer.val_check_interval"])
    assert steps / interval + 1 == 7
    assert f"--scores.constant_steps={list(range(0, steps + 1, interval))}" in masking
    assert int(values["data.evaluation_references"]) < 24


@pytest.fixture(scope="module")
def output(tiny_backbone: Backbone, tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole run on tiny weights."""
    root = tmp_path_factory.mktemp("reproduction")
    data = {"batch_size": 4, "evaluation_references": 2, "predict_references": 2, "prompts": ["A rocket", "A flower"]}
    config = {
        "model": {"init_args": {"backbone": {"model": tiny_backbone.model}, "sampling": {"steps": 1}}},
        "data": {"init_args": data},
        "scores": {"judge": {"init_args": {"model": str(tiny_judge)}}},
        "trainer": {"accelerator": "cpu", "devices": 1, "enable_model_summary": False},
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(config))
    patch = pytest.MonkeyPatch()
    patch.setattr("sys.argv", ["maskst"])
    patch.setattr(reproduce, "_QUICK_DRAWN", {"train_per_style": 1, "test_per_style": 1})
    patch.setattr(reproduce, "_QUICK_STEPS", 2)
    patch.setattr(reproduce, "_QUICK_INTERVAL", 1)
    patch.setattr(reproduce, "_QUICK", [])
    patch.chdir(ROOT)
    code = main(["--config", str(root / "tiny.yaml"), "--quick", "--output", str(root / "out")])
    patch.undo()
    assert code == 0
    return root / "out"


def test_report_and_figure_are_there(output: Path) -> None:
    assert {"report.html", "figure.png", "figure.svg", "summary.json"} <= {path.name for path in output.iterdir()}
    page = (output / "report.html").read_text()
    for expected in ("A rocket", "this project&#39;s BoundedContrast, not the published objective", "quick variant"):
        assert expected in page
    assert page.count('class="scroll wide"') == 1  # the curves
    grids = page[page.index('<section id="grids">') : page.index('<section id="run">')]
    assert grids.count("data:image/jpeg") == 3 + 2 * len(STEPS)
    for section in ("trade-off", "scores", "pictures", "masks", "published"):
        assert f'<section id="{section}">' in page
    with Image.open(output / "figure.png") as figure:
        assert figure.width > 2 * figure.height


def test_panel_b_shows_pictures_as_they_were_drawn(output: Path) -> None:
    """The image grids are as the report cuts them: a reference's cell holds that reference's file."""
    from scripts.report.training_report import read_runs, read_strip

    runs = {method: output / "runs" / method for method in METHODS}
    strip = read_strip(read_runs(runs), runs)
    places = [path for path in (output / "data" / "object_test").rglob("*") if path.is_file()]
    found = [Image.open(place).convert("RGB").resize((128, 128), Image.Resampling.NEAREST) for place in places]
    assert any(each.tobytes() == strip.reference.tobytes() for each in found)


def test_the_strengths_of_all_methods_and_the_trained_adapters_are_scored(output: Path) -> None:
    about = json.loads((output / "runs" / "sweep" / "scores" / "scores.json").read_text())
    counts = Counter(group["method"] for group in about["groups"])
    expected = {"ip_adapter": 5, "instantstyle": 5, "masking": 1, "quantile_masking": 6}
    assert counts == {**expected, "image_adapter": 1, "text_adapter": 1}
    assert {group["pictures"] for group in about["groups"]} == {4}


def test_summary_holds_every_evaluation_of_the_same_pictures(output: Path) -> None:
    summary: dict[str, Any] = json.loads((output / "summary.json").read_text())
    found = [(each["method"], each["step"]) for each in summary["evaluations"]]
    trained = [(method, step) for method in ("image_adapter", "text_adapter") for step in STEPS]
    assert found == [("ip_adapter", 0), ("instantstyle", 0), ("masking", 0), *trained]
    assert {each["images"] for each in summary["evaluations"]} == {4}
    assert summary["about"]["references"] == "train 100 (skipped 0), test 100 (skipped 0)"
    assert summary["about"]["training"] == "2 steps of 4 references, evaluated every 1 steps"
    assert (summary["folder"]["variant"], [*summary["seconds"]]) == ("quick", STAGES)
    line = "maskst validate --config configs/predict/masking.yaml"
    assert summary["commands"]["Masking, evaluation"].startswith(line)
