from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules.miniature import generate
from datamodules.miniature import references as miniature_references
from datamodules.miniature.references import MiniatureReferences
from datamodules.vocabulary import CONTENTS, TEST_STYLES, TRAIN_STYLES


@pytest.fixture(autouse=True)
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(miniature_references, "CONTENTS", CONTENTS[:2])
    monkeypatch.setattr(miniature_references, "TRAIN_STYLES", TRAIN_STYLES[:3])
    monkeypatch.setattr(miniature_references, "TEST_STYLES", TEST_STYLES[:2])


def make(tmp_path: Path, **settings: Any) -> MiniatureReferences:
    return MiniatureReferences(str(tmp_path / "mini"), **({"train_per_style": 2, "test_per_style": 1} | settings))


def test_the_set_is_drawn_in_the_published_layout(tmp_path: Path) -> None:
    references = make(tmp_path, batch_size=5)
    references.prepare_data()
    references.setup("fit")
    train, test = references.train_set.references, references.test_set.references
    assert [(r.content, r.style) for r in train] == sorted(
        (c, s) for c in CONTENTS[:2] for s in TRAIN_STYLES[:3] for _ in range(2)
    )
    assert {(r.content, r.style) for r in test} == {(c, s) for c in CONTENTS[:2] for s in TEST_STYLES[:2]}
    assert references.train_set.image(0).size == (64, 64)
    assert [len(batch["references"]) for batch in references.train_dataloader()] == [5, 5, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


def test_a_set_that_is_there_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path).prepare_data()
    monkeypatch.setattr(generate, "write_dataset", None)
    make(tmp_path).prepare_data()


def test_the_drawings_depend_on_their_seed_alone(tmp_path: Path) -> None:
    def drawn(name: str, seed: int) -> list[bytes]:
        references = MiniatureReferences(str(tmp_path / name), 1, 1, seed)
        references.prepare_data()
        return [file.read() for file in references.train_set.files.values()]

    assert drawn("one", 0) == drawn("two", 0)
    assert drawn("one", 0) != drawn("three", 1)


def test_a_set_of_another_recipe_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    make(tmp_path).prepare_data()
    with pytest.raises(ValueError, match=r"'train_per_style': 2, .* but .*'train_per_style': 3, .* Remove that folder"):
        make(tmp_path, train_per_style=3).prepare_data()


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(root: Path, *args: Any) -> None:
        root.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "write_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).prepare_data()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_that_draw_at_once_share_one_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset, second, drawn = generate.write_dataset, Thread(target=make(tmp_path).prepare_data), []

    def overtaken(root: Path, *args: Any) -> None:
        if not drawn:
            second.start()  # waits for the first, however long that takes
        drawn.append(root)
        write_dataset(root, *args)

    monkeypatch.setattr(generate, "write_dataset", overtaken)
    make(tmp_path).prepare_data()
    second.join()
    assert len(drawn) == 2, "one train set and one test set: nothing is drawn twice"
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


@pytest.mark.parametrize("name", ["train_per_style", "test_per_style"])
def test_numbers_that_are_too_small_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is a number from 1 up and was 0"):
        make(tmp_path, **{name: 0})


def test_the_command_line_takes_the_arguments_of_both_classes() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(MiniatureReferences, "data")
    settings = parser.parse_args(["--data.train_per_style=3", "--data.batch_size=4"])
    assert (settings.data.train_per_style, settings.data.batch_size) == (3, 4)
    assert "train" not in settings.data
    assert "References a training step and process." in " ".join(parser.format_help().split())


def test_the_drawn_images_are_readable_png(tmp_path: Path) -> None:
    make(tmp_path).prepare_data()
    with Image.open(next((tmp_path / "mini").rglob("*.png"))) as image:
        assert image.mode == "RGB"
