from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.files import replacing_folder
from datamodules.shards import open_references
from scripts.pack_shards import main
from tests.processes import beside
from tests.unit.datamodules.folders import spoil, write_folder, write_image


def test_a_folder_is_packed_and_the_result_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "folder")
    main([str(folder), str(tmp_path / "shards"), "--shard-size", "5"])
    out, err = capsys.readouterr()
    assert out == f"12 images in 3 shards in {tmp_path / 'shards'}\n"
    assert "packing: 100%" in err
    assert open_references(tmp_path / "shards").references == open_references(folder).references


@pytest.mark.filterwarnings("ignore:1 of 12")
def test_unreadable_images_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(write_folder(tmp_path / "folder") / "bird/bird/a-bird-in-lego toy_0.png")
    main([str(tmp_path / "folder"), str(tmp_path / "shards")])
    assert capsys.readouterr().out.startswith("11 images in 1 shards")
    assert len(open_references(tmp_path / "shards")) == 11


def test_a_target_that_is_there_is_replaced_on_request_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(write_folder(tmp_path / "folder")), str(tmp_path / "shards")]
    main(command)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "holds shards already" in capsys.readouterr().err
    main([*command, "--overwrite", "--shard-size", "6"])
    assert len(list((tmp_path / "shards").glob("*.tar"))) == 2


def test_two_runs_do_not_pack_into_one_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hold(reached: Callable[[], None]) -> None:
        with replacing_folder(tmp_path / "shards", "target"):
            reached()

    command = [str(write_folder(tmp_path / "folder")), str(tmp_path / "shards")]
    with beside(hold) as other, pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert f"`TARGET`: `{tmp_path}/shards` is being written by process {other} on " in capsys.readouterr().err
    main(command)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "shards"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["no", "shards"], "There is no folder `no`"), (["folder", "shards", "--shard-size", "0"], "`shard_size` is")],
)
def test_errors_are_lines_and_not_tracebacks(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_folder(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_the_help_explains_every_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    described = " ".join(capsys.readouterr().out.split())
    for part in ("SOURCE", "TARGET", "--shard-size N", "(default: 1000)", "--overwrite", "slow disks and networks"):
        assert part in described


def test_words_are_not_found_while_packing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ("auto", '{"*": "auto"}'):
        with pytest.raises(SystemExit):
            main([str(tmp_path), str(tmp_path / "shards"), "--content-words", words])
        told = (
            "`--content-words`: 'auto' is found when pictures are drawn, not when they are packed. Give any word here"
        )
        assert told in capsys.readouterr().err


def test_images_with_any_names_are_packed_by_content_words(tmp_path: Path) -> None:
    write_image(tmp_path / "mine" / "ink" / "x.png")
    main([str(tmp_path / "mine"), str(tmp_path / "shards"), "--content-words", '{"*x*": "dog"}'])
    [reference] = open_references(tmp_path / "shards").references
    assert reference[1:4] == ("ink/x", "dog", "ink")
