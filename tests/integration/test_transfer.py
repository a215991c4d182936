"""`maskst transfer` on the miniature: what it draws, shows and writes, and that `maskst predict` draws the same."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from datamodules.miniature.generate import draw
from datamodules.prediction_folders import finished_pictures
from scripts import cli

ONE = ["--content=cat", "--prompt=A rocket", "--model.sampling.steps=2"]


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    draw("cat", "lego toy", 5).save("photo.png")
    return "photo.png"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in (".png", ".jsonl", ".json")}


def test_a_picture_lies_where_it_is_said_and_predict_draws_the_same(
    photo: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = ["transfer", photo, *ONE, "--method=instantstyle", "--strength=0.5", "--scale=0.8"]
    cli.main(line)
    folder = Path("outputs/transfer/instantstyle__strength-0.5__scale-0.8")
    drawn = contents(folder)
    [picture] = [name for name in drawn if name.endswith(".png")]
    told = capfd.readouterr().out
    assert f"The picture: {folder / picture}" in told
    assert "cat" in told and "Judged by miniature" in told
    assert not Path("outputs/transfer/sheet.png").exists()

    cli.main([*line, "--print_config"])
    config = capfd.readouterr().out
    [written] = [each for each in yaml.safe_load_all(config) if each]
    written["trainer"]["default_root_dir"] = written["writer"]["init_args"]["folder"] = "again"
    Path("equal.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    cli.main(["predict", "--config", "equal.yaml"])
    assert contents(Path("again")) == drawn

    cli.main(line)
    assert contents(folder) == drawn, "a second run draws nothing"


def test_several_methods_and_pictures_come_with_a_sheet(photo: str, capfd: pytest.CaptureFixture[str]) -> None:
    draw("truck", "pop art", 5).save("truck.png")
    words = ["--content=cat", "--content=truck"]
    cli.main(["transfer", photo, "truck.png", *words, *ONE[1:], "--method=masking", "--method=ip_adapter"])
    told = capfd.readouterr().out
    assert "4 pictures are in outputs/transfer, side by side in outputs/transfer/sheet.png" in told
    shown = {job.reference.content for _, job, _ in finished_pictures("outputs/transfer/masking").values()}
    assert shown == {"cat", "truck"}
    with Image.open("outputs/transfer/sheet.png") as sheet:
        assert sheet.width > 3 * 224 and sheet.height > 2 * 224


def test_a_folder_with_other_settings_is_refused_by_their_names(photo: str) -> None:
    cli.main(["transfer", photo, *ONE])
    with pytest.raises(ValueError, match=r"(?s)`sampling.steps` is 3 and was 2.*`--output` of `maskst transfer`"):
        cli.main(["transfer", photo, *ONE[:2], "--model.sampling.steps=3"])
