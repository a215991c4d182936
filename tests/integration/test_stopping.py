"""Programs that are stopped by a signal: what they say, what they leave, and that nothing follows on `&&`."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
import torch

from scripts.cli import ROOT
from tests.integration.conftest import CONFIGS, Run, evaluations

SIGNAL = "tests.unit.scripts.test_stop_callback.Signal"


def stopped(number: signal.Signals, hook: str, *arguments: str, step: int = 0) -> str:
    """What a program says on its error output that sends itself a signal at a hook."""
    sends = {"": SIGNAL, ".number": int(number), ".hook": hook, ".step": step}
    given = [f"--trainer.callbacks{'' if name else '+'}{name}={value}" for name, value in sends.items()]
    command = [sys.executable, "-m", "scripts.cli", *arguments, *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Stopped")]
    return line


def stack(tiny_config: Path, config: str, folder: Path) -> list[str]:
    files = [CONFIGS / f"{config}.yaml", tiny_config]
    return [*(f"--config={file}" for file in files), f"--trainer.default_root_dir={folder}"]


def test_a_fit_goes_on_from_its_present_step(
    run: Run, fits: dict[str, Path], tiny_config: Path, tmp_path: Path
) -> None:
    steps = ["--trainer.max_steps=2", "--trainer.val_check_interval=1", "--trainer.log_every_n_steps=1"]
    arguments = [*stack(tiny_config, "fit/image_adapter", tmp_path), *steps]
    said = stopped(SIGINT, "on_validation_batch_end", "fit", *arguments, step=1)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert said == (
        f"Stopped by SIGINT. `{last}` has step 1: `--ckpt_path last` with the same arguments goes on from there."
    )
    said = stopped(SIGTERM, "on_validation_batch_end", "fit", *arguments, "--ckpt_path=last", step=2)
    assert "last.ckpt` has step 2" in said  # within the evaluation of the very last step
    run("fit", "fit/image_adapter", tmp_path, *steps, "--ckpt_path", "last")
    whole = fits["image_adapter"]
    for name in ("step_000001.ckpt", "step_000002.ckpt", "last.ckpt"):
        states = [torch.load(path / "checkpoints" / name)["state_dict"] for path in (tmp_path, whole)]
        torch.testing.assert_close(*states, rtol=0, atol=0)
    assert evaluations(tmp_path) == evaluations(whole)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == sorted(
        path.name for path in (whole / "checkpoints").iterdir()
    )


def test_predictions_are_kept_and_scoring_starts_again(run: Run, tiny_config: Path, tmp_path: Path) -> None:
    folder, small = tmp_path / "pictures", "--data.generation_batch_size=1"
    predict = ["predict", *stack(tiny_config, "predict/masking", folder), small]
    said = stopped(SIGTERM, "on_predict_batch_end", *predict)
    assert said == "Stopped by SIGTERM. Finished pictures are kept: the same command goes on from here."
    first = {path: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert len(first) == 1
    made = run("predict", "predict/masking", folder, small)
    assert len(list(folder.glob("*.png"))) == 2
    assert {path: path.stat().st_mtime_ns for path in first} == first
    references = f"--data.references={made.datamodule.test}"
    said = stopped(SIGINT, "on_test_start", "test", f"--data.folders={folder}", references, "--scoring.cache=null")
    assert said == "Stopped by SIGINT. Nothing was finished; the same command starts again."
    assert not (folder / "scores").exists()


def test_a_sweep_goes_on(tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["--sweep=[{condition: Masking}]", f"--trainer.default_root_dir={tmp_path}"]
    said = stopped(SIGTERM, "on_predict_batch_end", "sweep", f"--config={tiny_config}", *arguments)
    assert said == "Stopped by SIGTERM. Finished pictures are kept: the same command goes on from here."


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_second_signal_ends_what_does_not_heed_the_first(number: signal.Signals) -> None:
    code = (
        "import time\nfrom scripts.stopping import STOP, stoppable\nwith stoppable():\n    STOP.deferred = True\n"
        "    print('begun', flush=True)\n    while True:\n        time.sleep(1)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.2)
    assert process.returncode == 128 + number
