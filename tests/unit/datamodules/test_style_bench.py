"""The datamodule of StyleBench: a folder a style, text prompts or content images."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules.style_bench import FOREGROUND, StyleBench
from tests.unit.datamodules.folders import jobs_of, spoil

STYLES = {"3D Model 1": 2, "lego_toy": 3, "Ölbild": 1, "woodcut": 2}


def write_bench(root: Path, styles: dict[str, int] = STYLES, size: tuple[int, int] = (12, 10)) -> Path:
    """StyleBench's layout: `<root>/<style>/<number>.png`, each image of a colour of its own."""
    for place, (style, count) in enumerate(styles.items()):
        (root / style).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, (place, number, 200)).save(root / style / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_bench(tmp_path_factory.mktemp("bench") / "style_evaluation_benchmark_v2")
    (folder / "woodcut" / "notes.txt").write_text("no image")
    (folder / ".cache").mkdir()
    (folder / "content").mkdir()
    for name in ("A bench.png", "A rocket.png"):
        Image.new("RGB", (16, 16), "white").save(folder / "content" / name)
    return str(folder)


def test_the_style_is_the_folder_and_the_content_the_published_phrase(root: str) -> None:
    bench = StyleBench(root)
    keys = [f"{style}/{number}" for style, count in sorted(STYLES.items()) for number in range(count)]
    assert [(r.index, r.key) for r in bench.test_set.references] == list(enumerate(keys))
    assert [r.style for r in bench.test_set.references] == [key.split("/")[0] for key in keys]
    assert {r.content for r in bench.test_set.references} == {FOREGROUND}
    assert bench.content_prompts == ["Person, animal, plant, or object in the foreground"]
    assert bench.test_set.image(3).getpixel((0, 0)) == (1, 1, 200)


def test_some_styles_give_the_jobs_that_all_styles_give_and_must_alone_have_enough_references(root: str) -> None:
    every, some = jobs_of(StyleBench(root).predict_dataloader()), ["lego_toy", "Ölbild"]
    jobs = jobs_of(StyleBench(root, styles=some).predict_dataloader())
    assert jobs == [job for job in every if job.reference.style in some]
    assert len(jobs) == 80
    bench = StyleBench(root, styles=["lego_toy"], references_per_picture=3, prompts=["A rocket"])
    bench.setup("predict")
    assert {len(job.others) for job in jobs_of(bench.predict_dataloader())} == {2}


def test_words_may_be_given_for_each_image(root: str) -> None:
    bench = StyleBench(root, content_words={"lego_toy/*": "dog", "*/0.png": "cat", "*": "person"})
    contents = [r.content for r in bench.test_set.references]
    assert contents == ["cat", "person", "dog", "dog", "dog", "cat", "person", "cat"]
    assert StyleBench(root, content_words=None).test_set.references[0].content == FOREGROUND


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"content_words": {"Ölbild/*": "cat"}}, r"`content_words` has no word for 7 of 8 images"),
        ({"references_per_picture": 3}, r"`references_per_picture` is 3, .*'Ölbild' \(1\)"),
        ({"styles": ["lego", "woodcut", "oil"]}, "`styles` names 'lego', 'oil', .*There are: '3D Model 1', 'lego_toy'"),
        ({"styles": "woodcut"}, r"`styles` is a list of at least one style folder and was .*Give \['woodcut'\]"),
        ({"styles": []}, r"`styles` is a list of at least one style folder and was .*Give \['lego toy'\]"),
    ],
)
def test_choices_that_the_folder_cannot_serve_are_named(root: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        StyleBench(root, **settings).setup("test")


def test_there_is_nothing_to_train_on(root: str) -> None:
    text = r"`StyleBench` has no train set: .*`validate`, `test` and `predict`.*`fit` take .*`StyleReferences`"
    for ask in (lambda bench: bench.setup("fit"), StyleBench.train_dataloader):
        with pytest.raises(ValueError, match=text):
            ask(StyleBench(root))


@pytest.mark.parametrize(
    ("place", "styles", "text"),
    [
        ("none", {}, r"There is no folder `.*none`. Expected .*`MiniatureStyleBench`"),
        (".", {".hidden": 1}, r"has no style folder. Expected .*`<root>/<style>/<file>`"),
        (".", {"lego": 1, "oil": 0, "tattoo": 0}, "2 of 3 style folders of .* hold no image: 'oil', 'tattoo'. Put"),
        (".", {"bench/lego": 1}, r"1 of 1 style folders of .*: 'bench'.* whose folders are the styles"),
    ],
)
def test_faults_in_the_folder_are_named_with_the_way_out(
    tmp_path: Path, place: str, styles: dict[str, int], text: str
) -> None:
    write_bench(tmp_path, styles)
    with pytest.raises(FileNotFoundError, match=text):
        StyleBench(str(tmp_path / place)).setup("predict")


def test_damaged_references_are_left_out_and_too_small_ones_are_named(tmp_path: Path) -> None:
    spoil(write_bench(tmp_path, {"oil": 2, "woodcut": 1}) / "oil" / "0.png")
    with pytest.warns(UserWarning, match=r"1 of 3 images of .* cannot be read and are skipped"):
        references = StyleBench(str(tmp_path)).test_set.references
    assert references[0][:4] == (0, "oil/1", FOREGROUND, "oil")
    write_bench(tmp_path, {"tiny": 1}, (64, 4))
    with pytest.raises(ValueError, match=r"(?s)1 of 3 images .*tiny/0.png \(64 x 4 pixels\).*Expected 8 pixels"):
        StyleBench(str(tmp_path)).setup("predict")
