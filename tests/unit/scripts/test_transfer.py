"""The command line of `maskst transfer`; how it draws is in the integration tests."""

from pathlib import Path

import pytest
from PIL import Image

from datamodules.pictures import Pictures
from scripts import cli
from scripts.methods import METHODS, chosen_methods, has_styleshot, swept
from scripts.sheet import Cell, Row, contact_sheet
from scripts.transfer import arguments, content_words, folder_name, parse


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, colour in (("a.jpg", "red"), ("b.png", "blue"), ("deep/c.png", "green")):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), colour).save(file)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--prompt A", "`PICTURE` is missing: name one image or more"),
        ("photos/a.jpg", "`--prompt` is missing or blank"),
        ("photos/a.jpg --prompt= ", "`--prompt` is missing or blank"),
        ("photos/a.jpg --prompt A --method mask", "there is no 'mask'. Give one of masking, masking_quantile"),
        ("photos/a.jpg --prompt A --strength 0.5", "`--strength` is of instantstyle, and the method is masking"),
        ("photos/no.jpg --prompt A", "`pictures`: there is no picture `photos/no.jpg`"),
        ("photos/*.gif --prompt A", "`pictures`: there is no picture `photos/*.gif`"),
        ("empty --prompt A", "`pictures`: the folder `empty` holds no image"),
        (
            "photos/a.jpg photos/b.png --prompt A --content x --content y --content z",
            "`--content` has 3 words for 2 pictures: give one word for all",
        ),
        ("photos/a.jpg --prompt A --method styleshot", "`--method`: styleshot needs a backbone that has StyleShot's"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(photos: Path, line: str, message: str) -> None:
    (photos / "empty").mkdir()
    with pytest.raises((ValueError, OSError)) as error:
        cli.main(["transfer", *(word.replace("= ", "=  ") for word in line.split(" ") if word), "--output=out"])
    assert message in str(error.value)
    assert not (photos / "out").exists()


def test_one_word_for_all_or_one_for_each_in_their_order(photos: Path) -> None:
    def words(line: str) -> str | dict[str, str]:
        return content_words(parse([*line.split(), "--prompt", "A rocket"])[0])

    assert words("photos/a.jpg photos/b.png") == "auto"
    assert words("photos/a.jpg photos/b.png --content cat") == "cat"
    assert words("photos/b.png photos/a.jpg --content cat --content dog") == {"b.png": "cat", "a.jpg": "dog"}
    each = {"a.jpg": "cat", "b.png": "dog", "deep/c.png": "deer"}
    assert words("photos --content cat --content dog --content deer") == each


def test_the_folder_tells_what_is_asked_beside_the_config() -> None:
    wish, _ = parse(["a.jpg", "--prompt", "A", "--method", "all", "--strength", "0", "--scale", "0.60"])
    assert folder_name(wish, "instantstyle") == "instantstyle__strength-0__scale-0.6"
    assert folder_name(wish, "masking") == "masking__scale-0.6"
    assert folder_name(parse(["a.jpg", "--prompt", "A"])[0], "masking") == "masking"


def test_keys_of_the_configs_go_on_to_predict() -> None:
    wish, further = parse(["a.jpg", "--prompt", "A", "--samples", "2", "--seed", "7", "--model.sampling.steps", "5"])
    assert further == ["--model.sampling.steps", "5"]
    assert {"--data.samples_per_prompt=2", "--data.seed=7", '--data.prompts=["A"]'} <= {*arguments(wish)}


def test_methods_are_those_of_their_configs_and_of_the_backbone() -> None:
    assert all(file.is_file() for file in METHODS.values())
    assert chosen_methods(["all"], has_styleshot=False) == ["masking", "masking_quantile", "instantstyle", "ip_adapter"]
    assert chosen_methods(["all"], True) == ["masking", "masking_quantile", "instantstyle", "styleshot"]
    assert chosen_methods(["ip_adapter", "masking", "ip_adapter"], False) == ["ip_adapter", "masking"]
    with pytest.raises(ValueError, match=r"ip_adapter needs a backbone without StyleShot's encoder"):
        chosen_methods(["ip_adapter"], True)
    assert swept("instantstyle", 0.25).arguments == {"strength": 0.25, "norm_matched": False}
    assert swept("masking_quantile", 0.25) == swept("masking_quantile")
    assert has_styleshot(["configs/backbone/sd15.yaml", "configs/backbone/miniature_styleshot.yaml"])
    assert not has_styleshot(["configs/backbone/miniature_styleshot.yaml", "configs/backbone/sd15.yaml"])


def test_a_sheet_has_each_picture_in_its_place() -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    rows = [Row(Cell(red, ["a: cat"]), "A rocket", [Cell(blue, ["no leak"]), Cell(None, ["could not be made"])])]
    sheet = contact_sheet(["Masking", "IP-Adapter"], rows)
    seen = [sheet.getpixel((12 + column * 236 + 112, 142)) for column in range(3)]
    assert seen == [(255, 0, 0), (0, 0, 255), (255, 255, 255)]
    assert contact_sheet([], []).width > 0


def test_pictures_that_differ_in_their_suffix_alone_are_two(photos: Path) -> None:
    Image.new("RGB", (16, 16), "white").save(photos / "photos" / "a.png")
    data = Pictures(["photos/a.jpg", "photos/a.png", "photos/b.png"], content_words="cat")
    assert [each.key for each in data.test_set.references] == ["a.jpg", "a.png", "b"]


def test_without_a_writer_nothing_is_drawn(photos: Path) -> None:
    with pytest.raises(ValueError, match=r"`writer`: one PredictionWriter writes the pictures, got 0 of them"):
        cli.main(["transfer", "photos/a.jpg", "--prompt", "A rocket", "--output", "out", "--writer", "null"])
