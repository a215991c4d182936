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
