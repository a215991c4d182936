"""The command line, its errors, and which options count as settings."""

from pathlib import Path

import pytest

from scripts.reproduction.options import parse
from scripts.reproduction.stages import CONFIGS


def test_defaults() -> None:
    options = parse([])
    assert (options.output, options.seed, options.is_quick) == (Path("outputs/reproduce"), 42, False)
    assert (options.data_root, options.configs, options.fit_configs) == (None, [], [])


def test_help_names_the_variants_and_the_layout_of_a_real_set(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_settings_follow_everything_that_decides_the_results(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("model: 1")
    settings = parse(["--config", str(config)]).settings(list(CONFIGS.values()))
    assert settings["variant"] == "full"
    assert len({value for name, value in settings.items() if name.startswith("contents of configs")}) == 9
    config.write_text("model: 2")
    changed = parse(["--config", str(config), "--quick", "--output", "elsewhere"]).settings(list(CONFIGS.values()))
    assert {name for name in settings if settings[name] != changed[name]} == {"variant", f"contents of {config}"}
