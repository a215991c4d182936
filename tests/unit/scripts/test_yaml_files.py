"""YAML of other people, and `~` in its paths."""

from pathlib import Path

import pytest

from scripts.cli import ROOT, main
from scripts.paths import with_home
from scripts.yaml_files import MOST_VALUES, check_aliases, read_yaml

LEVELS = "abcdefgh"
BOMB = "".join(
    f"{name}: &{name} [{', '.join(['x' if place == 0 else '*' + LEVELS[place - 1]] * 10)}]\n"
    for place, name in enumerate(LEVELS)
)


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: &a {b: {c: *a}}\n"])
def test_aliases_that_stand_for_more_than_can_be_held_are_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bomb.yaml"
    config.write_text(text)
    with pytest.raises(ValueError, match=rf"`{config}` cannot be read as YAML: its aliases .* {MOST_VALUES} values"):
        read_yaml(config)
    with pytest.raises(SystemExit):
        main(["predict", f"--config={ROOT}/configs/predict/masking.yaml", f"--config={config}"])
    assert "its aliases (`*name`) stand for more than" in capsys.readouterr().err


def test_aliases_of_a_common_kind_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {lr: 1}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"lr": 1}, "b": {"lr": 1, "x": 2}, "c": [{"lr": 1}] * 2}
    check_aliases("prompts: ['A cat & a *dog*', '&']")


def test_a_home_is_written_out_wherever_a_path_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = ["~/a", "--data.test=~/b", "--trainer.callbacks+=~/c", "x~/d", "--data.prompts=A ~/e", {"f": ["~", "~g"]}]
    expected = ["/home/me/a", "--data.test=/home/me/b", "--trainer.callbacks+=/home/me/c", *given[3:5]]
    assert with_home(given) == [*expected, {"f": ["/home/me", "~g"]}]


def test_a_file_says_only_how_it_differs_from_what_it_is_based_on(tmp_path: Path) -> None:
    own, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    own.write_text("based_on: configs/backbone/sdxl.yaml\nmodel: {init_args: {sampling: {steps: 9}}}\n")
    other.write_text(f"based_on: {own}\ntrainer: null\n")
    xl, found = read_yaml(ROOT / "configs/backbone/sdxl.yaml"), read_yaml(other)
    assert found["model"]["init_args"]["sampling"] == xl["model"]["init_args"]["sampling"] | {"steps": 9}
    assert xl["model"]["init_args"]["sampling"]["negative_prompt"].startswith("text, watermark")  # of sd15.yaml
    assert (found["trainer"], found["scores"], set(found)) == (None, xl["scores"], set(xl))


@pytest.mark.parametrize("base", ["none.yaml", "{itself}"])
def test_a_file_that_stands_on_nothing_or_on_itself_is_refused(base: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"based_on: {base.format(itself=own)}\n")
    with pytest.raises(ValueError, match="own.yaml` cannot be read as YAML: `based_on` is .* Name a shipped config"):
        read_yaml(own)
