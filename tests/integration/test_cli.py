"""The command line: its help, its messages, resuming, repeating, and who wins over a checkpoint."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from datamodules.files import FolderInUseError, FolderLock
from lightning_modules.adapter_training import AdapterReconstruction
from scripts.cli import ROOT, main, raised_here, shipped_configs
from tests.integration.conftest import CONFIGS, Run, evaluations
from tests.integration.test_configs import SCORES, curves
from tests.processes import beside

MASKING = str(CONFIGS / "predict" / "masking.yaml")
STEPS = ("--trainer.val_check_interval", "1", "--trainer.max_steps")


@pytest.fixture
def message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What the program says on its error output before it ends with code 2."""

    def message(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["maskst", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return message


def test_help_needs_neither_torch_nor_the_model_libraries() -> None:
    code = (
        "import sys; from scripts.cli import main; main([]); main(['--help'])\n"
        "assert not {'torch', 'lightning', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("maskst predict --config configs/predict/masking.yaml") == 8
    assert done.stdout.count("masking.yaml --config configs/backbone/sd15.yaml --data.test my/styles\n") == 2
    assert done.stdout.count("maskst weights [BACKBONE] [--fetch]\n") == 2
    assert done.stdout.count("maskst export CHECKPOINT OUT [--overwrite]\n") == 2
    assert done.stdout.count("configs/fit/text_adapter.yaml") == 2


def test_a_config_that_is_not_here_is_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").touch()
    name = "configs/predict/masking.yaml"
    given = ["predict", "--config", name, f"--config={name}", "-c", "own.yaml", "--config", "none.yaml", name]
    shipped = str(ROOT / name)
    expected = ["predict", "--config", shipped, f"--config={shipped}", "-c", "own.yaml", "--config", "none.yaml", name]
    assert shipped_configs(given) == expected


def test_an_error_of_ours_is_one_line(message: Callable[..., str], tmp_path: Path) -> None:
    quantile = str(CONFIGS / "predict" / "masking_quantile.yaml")
    said = message("predict", "--config", quantile, "--model.condition.theta", "2")
    assert said.splitlines()[-1].startswith("maskst: error: `theta` must be in (0, 1)")
    assert "Traceback" not in said
    adapter = str(CONFIGS / "predict" / "image_adapter.yaml")
    said = message("predict", "--config", adapter, "--model.condition.checkpoint", str(tmp_path / "no.ckpt"))
    assert "maskst: error: `checkpoint` names no file" in said


def test_a_command_without_a_config_says_which_there_are(message: Callable[..., str]) -> None:
    said = "maskst: error: `--config` is missing: it says what to run. Give one or more"
    assert said in message("fit")
    assert said in message("predict", "--trainer.devices", "1")


def test_weights_and_export_are_commands_with_one_line_errors(message: Callable[..., str], tmp_path: Path) -> None:
    assert message("weights", "none.yaml").startswith("maskst: error: `backbone`: there is no 'none.yaml'.")
    said = message("export", str(tmp_path / "none.ckpt"), str(tmp_path / "a.safetensors"))
    assert said.startswith("maskst: error: `checkpoint` names no file")
    assert "unrecognized arguments: --fecth" in message("weights", "--fecth")


def test_a_caller_from_python_gets_the_error_itself() -> None:
    with pytest.raises(ValueError, match="`n_clusters` must be 2 or more, got 1"):
        main(["predict", "--config", MASKING, "--model.condition.n_clusters", "1"])


def test_an_error_from_the_depths_of_a_library_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.nn.functional.interpolate(torch.zeros(1), scale_factor=2)
    assert raised_here(caught.value) is None


def test_unknown_names_are_told(message: Callable[..., str], tmp_path: Path) -> None:
    said = message("predict", "--config", MASKING, "--model.condition.clusters", "3")
    assert "Option 'clusters' is not accepted" in said
    assert len(said.splitlines()) < 15  # the message is not lost in a list of all options
    assert "Maskin" in message("predict", "--config", MASKING, "--model.condition", "Maskin")
    assert "none.yaml" in message("predict", "--config", str(tmp_path / "none.yaml"))
    (tmp_path / "wrong.yaml").write_text("modle: 3\n")
    assert "modle" in message("predict", "--config", MASKING, "--config", str(tmp_path / "wrong.yaml"))


def test_a_second_predict_makes_only_what_is_missing(run: Run, tmp_path: Path) -> None:
    folder, more = tmp_path / "masking", ("--data.samples_per_prompt", "2")
    run("predict", "predict/masking", folder, *more)
    pictures = {path: path.read_bytes() for path in folder.glob("*.png")}
    first, *kept = sorted(pictures)
    first.unlink()
    times = {path: path.stat().st_mtime_ns for path in kept}
    commands = run("predict", "predict/masking", folder, *more)
    assert len(commands.datamodule.predict_dataloader().source.jobs) == 1
    assert {path: path.read_bytes() for path in folder.glob("*.png")} == pictures
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    with pytest.raises(ValueError, match="`sampling.steps` is 3 and was 2"):
        run("predict", "predict/masking", folder, *more, "--model.sampling.steps", "3")
    assert {path: path.stat().st_mtime_ns for path in kept} == times


def test_fit_goes_on_exactly_and_never_writes_over_a_run(run: Run, fits: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "{method}"
    run("fit", "fit/image_adapter", folder, *STEPS, "1", "--ckpt_path", "last")  # nothing there yet: a new run
    with pytest.raises(ValueError, match="image_adapter` holds the checkpoints of a fit. Give `--ckpt_path last`"):
        run("fit", "fit/image_adapter", folder, *STEPS, "2")
    run("fit", "fit/image_adapter", folder, *STEPS, "2", "--ckpt_path", "last")
    resumed, whole = tmp_path / "image_adapter", fits["image_adapter"]
    assert [step for _, step, _ in evaluations(resumed)] == [0, 1, 2]
    assert evaluations(resumed) == evaluations(whole)
    states = [torch.load(path / "checkpoints" / "step_000002.ckpt")["state_dict"] for path in (resumed, whole)]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_fit_goes_on_from_the_checkpoint_before_a_damaged_one(run: Run, fits: dict[str, Path], tmp_path: Path) -> None:
    whole, folder = fits["image_adapter"], tmp_path / "image_adapter"
    shutil.copytree(whole, folder)
    for name in ("last", "step_000002"):
        (folder / "checkpoints" / f"{name}.ckpt").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"last.ckpt.* in `.*` cannot be read: the run goes on from step_000001.ckpt"):
        run("fit", "fit/image_adapter", folder, *STEPS, "2", "--ckpt_path", "last")
    paths = [
        [path.relative_to(root) for path in root.rglob("*") if "events" not in path.name] for root in (folder, whole)
    ]
    assert sorted(paths[0]) == sorted(paths[1])  # none is written twice, no lock is left
    for name in ("last", "step_000002"):
        states = [torch.load(path / "checkpoints" / f"{name}.ckpt")["state_dict"] for path in (folder, whole)]
        torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize(
    "command, configs", [("fit", "fit/image_adapter"), ("validate", "predict/masking"), ("predict", "predict/masking")]
)
def test_a_second_run_in_a_folder_is_refused_before_it_writes(
    run: Run, tmp_path: Path, command: str, configs: str
) -> None:
    def hold(reached: Callable[[], None]) -> None:
        lock = FolderLock(tmp_path, "folder")
        lock.take()
        reached()

    with beside(hold) as other:
        with pytest.raises(
            FolderInUseError, match=f"is being written by process {other} on .* Wait until it has ended"
        ):
            run(command, configs, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_full_disk_that_a_library_meets_is_one_line(
    message: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.cli._run", lambda _: Path("/dev/full").write_text("x"))
    said = "maskst: error: a file cannot be read or written: No space left on device. Free some space, or give a folder"
    assert message("fit").startswith(said)


def test_the_command_line_wins_over_a_checkpoint(run: Run, fits: dict[str, Path], tmp_path: Path) -> None:
    checkpoint = fits["image_adapter"] / "checkpoints" / "step_000001.ckpt"
    arguments = ("--ckpt_path", str(checkpoint), "--model.strength", "0.5")
    commands = run("validate", "fit/image_adapter", tmp_path, *arguments)
    assert isinstance(commands.model, AdapterReconstruction)
    assert commands.model.condition.settings["strength"] == 0.5
    saved = torch.load(checkpoint)["state_dict"]["condition.adapter.proj.weight"]
    assert torch.equal(commands.model.adapter.proj.weight, saved)
    assert curves(tmp_path)["alignment/text"] == [1]  # the step of the checkpoint, and no constant line


def test_validate_draws_a_constant_line_and_takes_another_run_s_config(run: Run, tmp_path: Path) -> None:
    commands = run("validate", "predict/masking", tmp_path / "{method}")
    steps, folder = curves(tmp_path / "masking"), tmp_path / "masking"
    assert [sorted(steps[tag]) for tag in [*SCORES, "mask/share_masked"]] == [list(range(0, 481, 80))] * 6
    assert (folder / "grids" / "step_000000.png").is_file()
    assert "version" not in "".join(path.name for path in folder.iterdir())
    assert commands.trainer._accelerator_connector.use_distributed_sampler is False
    shutil.copy(folder / "config.yaml", tmp_path / "saved.yaml")
    main(["validate", "--config", str(tmp_path / "saved.yaml")])
    assert len(evaluations(folder)) == 1  # the same, in its place
