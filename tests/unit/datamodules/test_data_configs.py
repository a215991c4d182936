"""What the configs of the benches come to, alone and over a backbone that names other data."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from datamodules.miniature.references import MiniatureReferences
from datamodules.miniature.style_bench import MiniatureStyleBench
from datamodules.style_bench import FOREGROUND, PROMPTS, ROOT, StyleBench
from datamodules.style_references import StyleReferences

CONFIGS = Path(__file__).parents[3] / "configs"


def read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CONFIGS / "data" / f"{name}.yaml").read_text())["data"]
    return values


def over(first: dict[str, Any], then: dict[str, Any]) -> StyleReferences:
    """The datamodule of one config over another, as a command line stacks them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(StyleReferences, "data")
    settings = parser.parse_object({"data": then}, parser.parse_object({"data": first}))
    references: StyleReferences = parser.instantiate_classes(settings).data
    return references


BENEATH = {
    "miniature": {
        "class_path": f"{MiniatureReferences.__module__}.MiniatureReferences",
        "init_args": {"prompts": ["A dog"], "generation_batch_size": 60},
    },
    "a real backbone": {
        "class_path": f"{StyleReferences.__module__}.StyleReferences",
        "init_args": {"prompts": ["A dog"], "generation_batch_size": 60, "test": "data/object_test"},
    },
}


@pytest.mark.parametrize("first", BENEATH)
def test_the_published_bench_is_what_the_config_says(first: str) -> None:
    bench = over(BENEATH[first], read("style_bench"))
    assert type(bench) is StyleBench
    assert (bench.root, bench.styles, bench.content_images) == (ROOT, None, None)
    assert bench.prompts == list(PROMPTS)
    assert (bench.samples_per_prompt, bench.predict_references, bench.content_words) == (4, None, FOREGROUND)
    assert (bench.seed, bench.generation_batch_size) == (42, 60)


@pytest.mark.parametrize("first", BENEATH)
def test_the_miniature_bench_is_what_the_config_says(first: str) -> None:
    bench = over(BENEATH[first], read("miniature_style_bench"))
    assert type(bench) is MiniatureStyleBench
    assert (bench.folder, bench.root) == ("data/miniature_style_bench", "data/miniature_style_bench/styles")
    assert (bench.prompts, bench.recipe) == (MiniatureStyleBench().prompts, {"per_style": 4, "seed": 0})
    assert bench.content_words == MiniatureStyleBench().content_words


def test_the_class_alone_takes_no_folder_from_the_miniature() -> None:
    bench = over(BENEATH["miniature"], {"class_path": read("miniature_style_bench")["class_path"]})
    assert bench.root == "data/miniature_style_bench/styles"  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", BENEATH)
@pytest.mark.parametrize(
    ("name", "content_images", "numbers"),
    [
        ("style_bench_images", "data/content", (4, 73)),
        ("miniature_style_bench_images", "data/miniature_style_bench/content", (1, None)),
    ],
)
def test_image_driven_the_bench_is_the_same(
    name: str, content_images: str, numbers: tuple[int, int | None], first: str
) -> None:
    text_driven, bench = (over(BENEATH[first], read(which)) for which in (name.removesuffix("_images"), name))
    assert bench.content_images == content_images
    assert (bench.samples_per_prompt, bench.predict_references) == numbers
    same = ("root", "styles", "content_words", "seed")
    assert [getattr(bench, key) for key in same] == [getattr(text_driven, key) for key in same]
    assert type(bench) is type(text_driven)
