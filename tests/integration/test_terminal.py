"""Exactly what commands show, on tiny random weights, as programs of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli import ROOT
from tests.integration.conftest import CONFIGS

_CHANGING = re.compile(r"[\d.]+(e[+-]?\d+)? pictures/s|\d+:\d+ left|with \d+ threads")


def shown(tiny_config: Path, folder: Path, command: str, configs: str, *more: str, log: str = "") -> tuple[str, str]:
    """The output and error stream of a command in `folder`, without what depends on the hour."""
    files = [CONFIGS / f"{configs}.yaml", tiny_config]
    stack = [argument for file in files for argument in ("--config", str(file))]
    place = ["--trainer.default_root_dir", str(folder)]
    program = [sys.executable, "-m", "scripts.cli", command, *stack, *place, *more]
    environment = {name: value for name, value in os.environ.items() if name not in ("MASKST_LOG", "PYTHONWARNINGS")}
    environment |= {"MASKST_LOG": log} if log else {}
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    return _CHANGING.sub("X", done.stdout), _CHANGING.sub("X", done.stderr)


def test_predict_says_what_it_does_and_what_it_did(tiny_config: Path, tmp_path: Path) -> None:
    run = tiny_config, tmp_path, "predict", "predict/masking"
    tiny = re.search(r"model: (.*tiny.*|/.*)", tiny_config.read_text())
    assert tiny is not None
    settings = f"masking ({tiny[1]}, n_clusters 2, 2 steps, guidance 4)"
    said = f"on the CPU X; they come to `{tmp_path}`."
    # The set of the miniature is drawn by the first run.
    assert shown(*run)[1].splitlines()[-3:] == [
        f"Drawing 2 pictures by {settings} {said}",
        "Drawing: 2 of 2 pictures, X, X",
        f"2 pictures were written to `{tmp_path}`; 0 lay there already.",
    ]
    assert shown(*run)[1].splitlines() == [
        f"`{tmp_path}` holds 2 finished pictures; only missing ones are generated.",
        "No picture is missing.",
        f"0 pictures were written to `{tmp_path}`; 2 lay there already.",
    ]
    assert shown(*run, "--data.samples_per_prompt=2", "--quiet") == ("", "")
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_a_cut_prompt_is_a_warning_of_one_line(tiny_config: Path, tmp_path: Path) -> None:
    out, err = shown(
        tiny_config, tmp_path, "predict", "predict/masking", f"--data.prompts=[{'word ' * 100}]", "--quiet"
    )
    assert out == ""
    assert err.splitlines() and all(
        line.startswith("maskst: warning: The prompt 'word word") for line in err.splitlines()
    )


def test_debug_brings_everything_back(tiny_config: Path, tmp_path: Path) -> None:
    wrong = "--model.condition.n_clusters=1"
    _, err = shown(tiny_config, tmp_path, "predict", "predict/masking", wrong, log="debug")
    assert "Traceback (most recent call last)" in err
    _, err = shown(tiny_config, tmp_path, "predict", "predict/masking", log="debug")
    assert "GPU available:" in err and "Loading weights" in err


@pytest.mark.parametrize("quiet", [True, False])
def test_a_fit_counts_steps_and_its_evaluations_pictures(tiny_config: Path, tmp_path: Path, quiet: bool) -> None:
    steps = ("--trainer.max_steps=1", "--trainer.val_check_interval=1", *(["--quiet"] if quiet else []))
    out, err = shown(tiny_config, tmp_path, "fit", "fit/image_adapter", *steps)
    assert out == ""
    if quiet:
        assert err == ""
        return
    lines = err.splitlines()
    assert lines[0].startswith("Training image_adapter (")
    assert lines[0].endswith(f") to step 1 on the CPU X; all comes to `{tmp_path}`.")
    assert [line for line in lines if line.startswith("Drawing:")] == ["Drawing: 4 of 4 pictures, X, X"] * 2
    assert lines[-1] == f"Step 1 is done: all is in `{tmp_path}`."
    assert not any(word in err for word in ("GPU available", "LeafSpec", "Tip:", "Loading weights", "stopped"))
