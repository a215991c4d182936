import json
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.miniature import captioned_images as miniature_captioned_images
from datamodules.miniature import generate
from datamodules.miniature.captioned_images import MiniatureCaptionedImages
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES
from tests.unit.datamodules.test_data_configs import BENEATH, over, read


@pytest.fixture
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"CONTENTS": ("cat",), "PROMPT_CONTENTS": ("rocket",), "TRAIN_STYLES": ("3D model",)}
    for name, names in (small | {"TEST_STYLES": ("tattoo",)}).items():
        monkeypatch.setattr(miniature_captioned_images, name, names)


@pytest.mark.usefixtures("small_set")
def test_prompts_name_the_content_alone_and_test_images_are_apart(tmp_path: Path) -> None:
    images = MiniatureCaptionedImages(str(tmp_path / "mini"), per_pair=2)
    images.prepare_data()
    images.setup("fit")
    train, test = images.train_set, images.test_set
    assert [r.content for r in train.references] == ["A cat"] * 4 + ["A rocket"] * 4
    assert train.references[3].key == "images/cat/a-cat-in-tattoo_1"
    assert train.image(3).tobytes() == draw("cat", "tattoo", [1_000_000, 1]).tobytes()
    assert train.content_map(3) is None
    assert [(r.content, r.style) for r in test.references] == [("cat", "3D model"), ("cat", "tattoo")]
    drawn = {train.image(index).tobytes() for index in range(8)}
    drawn |= {draw("cat", style, [0, 0]).tobytes() for style in ("3D model", "tattoo")}  # of the other miniature
    assert not drawn & {test.image(index).tobytes() for index in range(2)}
    assert len(drawn) == 10


def test_every_content_is_drawn_in_every_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Any, ...]] = []

    def note(root: Path, *arguments: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        drawn.append((root.name, *arguments))

    for name in ("write_captioned", "write_dataset"):
        monkeypatch.setattr(generate, name, note)
    MiniatureCaptionedImages(str(tmp_path / "mini")).prepare_data()
    (_, *train), test = drawn
    assert train == [(*CONTENTS, *PROMPT_CONTENTS), (*TRAIN_STYLES, *TEST_STYLES), 40, 1_000_000]
    assert test == ("object_test", CONTENTS, (*TRAIN_STYLES, *TEST_STYLES), 1, 1_000_001)


@pytest.mark.usefixtures("small_set")
def test_it_is_drawn_once_whole_and_by_its_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str, seed: int) -> dict[str, bytes]:
        folder = tmp_path / name
        MiniatureCaptionedImages(str(folder), 2, seed).prepare_data()
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}

    one, other = files("one", 0), files("other", 7)
    assert one == files("two", 0)
    assert sorted({path.parts[0] for path in map(Path, one)}) == [
        "captions.jsonl",
        "images",
        "object_test",
        "recipe.json",
    ]
    assert not {one[name] for name in one if name.endswith("png")} & set(other.values())
    assert [json.loads(text) for text in one["captions.jsonl"].splitlines()] == [
        {"image": f"images/{content}/a-{content}-in-{style}_{index}.png", "prompt": f"A {content}"}
        for content in ("cat", "rocket")
        for style in ("3D-model", "tattoo")
        for index in (0, 1)
    ]
    monkeypatch.setattr(generate, "write_captioned", None)
    assert files("one", 0) == one
    with pytest.raises(ValueError, match=r"'per_pair': 2, 'seed': 1000000}, but .*'seed': 1000007} .* Remove that"):
        files("one", 7)


def test_a_content_that_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`content` must be one of .*'teapot'"):
        generate.write_captioned(tmp_path, ["teapot"], ["tattoo"], 1, 0)


@pytest.mark.parametrize(("name", "value"), [("per_pair", 0), ("drawing_seed", -1)])
def test_numbers_that_are_too_small_are_named(tmp_path: Path, name: str, value: int) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"`{name}` is a number from {value + 1} up and was {value}"):
        MiniatureCaptionedImages(str(tmp_path), **settings)


def test_the_command_line_takes_the_arguments_of_all_three_classes() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(MiniatureCaptionedImages, "data")
    settings = parser.parse_args(["--data.per_pair=2", "--data.batch_size=4"])
    images = parser.instantiate_classes(settings).data
    assert (images.recipe["per_pair"], images.batch_size) == (2, 4)
    assert not any(name in settings.data for name in ("captions", "test", "train"))


@pytest.mark.parametrize("first", BENEATH)
@pytest.mark.parametrize("class_alone", [False, True])
def test_neither_config_nor_class_takes_folder_or_seed_from_what_lies_beneath(first: str, class_alone: bool) -> None:
    said = read("miniature_captioned_images")
    images = over(BENEATH[first], {"class_path": said["class_path"]} if class_alone else said)
    assert isinstance(images, MiniatureCaptionedImages)
    assert (images.captions, images.test) == tuple(
        f"data/miniature_captioned/{name}" for name in ("captions.jsonl", "object_test")
    )
    assert images.recipe == {"per_pair": 40, "seed": 1_000_000}
    assert (images.prompts, images.generation_batch_size) == (["A dog"], 60)
