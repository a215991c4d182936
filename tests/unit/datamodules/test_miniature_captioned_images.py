import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules import miniature_captioned_images
from datamodules.miniature import generate
from datamodules.miniature.generate import draw
from datamodules.miniature_captioned_images import MiniatureCaptionedImages
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES

ALL_STYLES = (*TRAIN_STYLES, *TEST_STYLES)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> MiniatureCaptionedImages:
    images = MiniatureCaptionedImages(str(tmp_path_factory.mktemp("data") / "mini"), per_pair=1)
    images.prepare_data()
    images.setup("fit")
    return images


@pytest.fixture
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"CONTENTS": ("cat",), "PROMPT_CONTENTS": ("rocket",), "TRAIN_STYLES": ("3D model",)}
    for name, names in (small | {"TEST_STYLES": ("tattoo",)}).items():
        monkeypatch.setattr(miniature_captioned_images, name, names)


def test_every_content_is_drawn_in_every_style_and_prompts_name_the_content_alone(
    drawn: MiniatureCaptionedImages,
) -> None:
    references = drawn.train_set.references
    contents = Counter(reference.content for reference in references)
    assert len(references) == 300
    assert {"An airplane", "A human", "A truck"} < set(contents)
    assert contents == dict.fromkeys(contents, 20) and len(contents) == len((*CONTENTS, *PROMPT_CONTENTS))
    assert references[0].key == "images/airplane/an-airplane-in-3D-model_0"
    expected = draw("airplane", "3D model", [1_000_000, 0])
    assert drawn.train_set.image(0).tobytes() == expected.tobytes()
    assert drawn.train_set.content_map(0) is None


def test_the_test_set_has_one_of_each_content_in_each_style_and_no_train_image(
    drawn: MiniatureCaptionedImages,
) -> None:
    references = drawn.test_set.references
    assert [(r.content, r.style) for r in references] == sorted((c, s) for c in CONTENTS for s in ALL_STYLES)
    train = {drawn.train_set.image(index).tobytes() for index in range(len(drawn.train_set))}
    assert not train & {drawn.test_set.image(index).tobytes() for index in range(len(drawn.test_set))}


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


@pytest.mark.usefixtures("small_set")
def test_images_are_apart_from_those_of_the_other_miniature(tmp_path: Path) -> None:
    images = MiniatureCaptionedImages(str(tmp_path / "mini"), 1)
    images.prepare_data()
    [path] = (tmp_path / "mini" / "images" / "cat").glob("*tattoo*")
    assert (np.asarray(Image.open(path)) != np.asarray(draw("cat", "tattoo", [0, 0]))).any()


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
