from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.miniature import generate
from datamodules.miniature.bench_styles import BENCH_STYLES
from datamodules.miniature.style_bench import DRAWN_PLAINLY, REFERENCE_CONTENTS, MiniatureStyleBench
from datamodules.style_bench import FOREGROUND, StyleBench
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("data") / "bench")
    MiniatureStyleBench(root).prepare_data()
    return root


def test_references_have_styles_that_training_never_saw_and_contents_that_are_known(root: str) -> None:
    bench = MiniatureStyleBench(root)
    bench.prepare_data()
    references = bench.test_set.references
    assert Counter(r.style for r in references) == dict.fromkeys(BENCH_STYLES, 4)
    assert not set(BENCH_STYLES) & {*TRAIN_STYLES, *TEST_STYLES}
    for style in BENCH_STYLES:
        contents = [r.content for r in references if r.style == style]
        assert len(set(contents)) == 4
        assert set(contents) <= set(REFERENCE_CONTENTS)
    assert {r.key for r in references if r.style == "blueprint"} == {
        f"blueprint/{content}_{number}" for number, content in enumerate(("cat", "frog", "ship", "truck"))
    }


def test_content_images_show_the_other_contents_and_are_named_by_their_prompts(root: str) -> None:
    assert {*DRAWN_PLAINLY, *REFERENCE_CONTENTS} == {*CONTENTS, *PROMPT_CONTENTS}
    assert not set(DRAWN_PLAINLY) & set(REFERENCE_CONTENTS)
    bench = MiniatureStyleBench(root, content_images=f"{root}/content")
    bench.setup("predict")
    batch = next(iter(bench.predict_dataloader()))
    prompts = [job.prompt for job in batch["jobs"][:10]]
    assert len(set(prompts)) == 10
    assert {"A rocket", "A bench", "An airplane", "An automobile"} <= set(prompts)
    assert batch["images"]["content:A rocket"].size == (64, 64)
    assert len(bench.predict_dataloader().source.jobs) == 24 * 10  # type: ignore[attr-defined]


def test_without_content_images_the_prompts_are_those_of_the_miniature(root: str) -> None:
    bench = MiniatureStyleBench(root)
    assert bench.prompts == ["A bench", "A human", "A laptop", "A rocket", "A flower"]
    assert len(bench.predict_dataloader().source.jobs) == 24 * 5  # type: ignore[attr-defined]


def test_it_lies_on_disk_as_the_published_bench_does(root: str) -> None:
    published = StyleBench(f"{root}/styles", content_images=f"{root}/content")
    published.setup("predict")
    ours = MiniatureStyleBench(root, content_words=FOREGROUND)
    assert published.test_set.references == ours.test_set.references
    assert published.test_set.references[0].content == FOREGROUND


def test_it_is_drawn_once_whole_and_by_its_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(name: str, seed: int) -> list[bytes]:
        bench = MiniatureStyleBench(str(tmp_path / name), 1, seed)
        bench.prepare_data()
        return [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))]

    one = drawn("one", 0)
    assert one == drawn("two", 0)
    assert not set(one) & set(drawn("three", 1))
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["content", "recipe.json", "styles"]
    monkeypatch.setattr(generate, "write_style_bench", None)
    assert drawn("one", 0) == one
    with pytest.raises(ValueError, match=r"'per_style': 1, 'seed': 0}, but .*'seed': 1} .* Remove that folder"):
        drawn("one", 1)


@pytest.mark.parametrize(("name", "value"), [("per_style", 0), ("drawing_seed", -1)])
def test_numbers_that_are_too_small_are_named(tmp_path: Path, name: str, value: int) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"`{name}` is a number from {value + 1} up and was {value}"):
        MiniatureStyleBench(str(tmp_path), **settings)


def test_the_command_line_takes_the_arguments_of_all_three_classes() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(MiniatureStyleBench, "data")
    settings = parser.parse_args(["--data.per_style=2", "--data.styles=[mosaic]", "--data.content_images=c"])
    bench = parser.instantiate_classes(settings).data
    assert (bench.recipe["per_style"], bench.styles, bench.content_images) == (2, ["mosaic"], "c")
    assert not any(name in settings.data for name in ("root", "train", "test"))
