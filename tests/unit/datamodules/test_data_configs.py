"""What the configs of the data and command lines come to, alone and over a backbone that names other data."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from datamodules.captioned_images import CaptionedImages
from datamodules.miniature.references import MiniatureReferences
from datamodules.miniature.style_bench import MiniatureStyleBench
from datamodules.predictions import Predictions
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


CONFIGURED: dict[str, tuple[type[StyleReferences], dict[str, Any]]] = {
    "style_bench": (
        StyleBench,
        {"root": ROOT, "styles": None, "content_images": None, "prompts": list(PROMPTS), "samples_per_prompt": 4}
        | {"predict_references": None, "content_words": FOREGROUND, "seed": 42, "generation_batch_size": 60},
    ),
    "miniature_style_bench": (
        MiniatureStyleBench,
        {
            "folder": "data/miniature_style_bench",
            "root": "data/miniature_style_bench/styles",
            "recipe": {"per_style": 4, "seed": 0},
        }
        | {"prompts": MiniatureStyleBench().prompts, "content_words": MiniatureStyleBench().content_words},
    ),
    "captioned_images": (
        CaptionedImages,
        {"captions": "data/captions.jsonl", "test": "data/object_test", "prompts": ["A dog"]}
        | {"generation_batch_size": 60},
    ),
}


@pytest.mark.parametrize("first", BENEATH)
@pytest.mark.parametrize("name", CONFIGURED)
def test_each_config_comes_to_what_it_says(name: str, first: str) -> None:
    data, (kind, expected) = over(BENEATH[first], read(name)), CONFIGURED[name]
    assert type(data) is kind
    assert {key: getattr(data, key) for key in expected} == expected


def test_the_prompts_of_the_bench_are_the_published_ones() -> None:
    assert (len(PROMPTS), len(set(PROMPTS)), ROOT) == (20, 20, "data/style_evaluation_benchmark_v2")
    assert (PROMPTS[0], PROMPTS[3], PROMPTS[-1]) == ("A bench", "An elephant", "A wooden sailboat docked in a harbor")
    assert FOREGROUND == "person, animal, plant, or object in the foreground"


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


COMMAND_LINE: dict[type[Any], dict[str, Any]] = {
    StyleReferences: {"prompts": ["A cat", "A dog"], "seed": 3, "references_per_picture": 4, "content_words": None},
    MiniatureReferences: {
        "negative_references": ["a.png", "b.png"],
        "content_words": {"*dog*": "a dog", "*": "person"},
    },
    StyleBench: {"styles": ["oil"], "content_images": "content", "seed": 3, "content_words": FOREGROUND},
    CaptionedImages: {"captions": "c.jsonl", "test": "t", "batch_size": 4},
    Predictions: {"folders": ["a b"], "references": ["r", "s"]},
}


@pytest.mark.parametrize("kind", COMMAND_LINE)
def test_the_command_line_takes_the_arguments(kind: type[Any]) -> None:
    parser, expected = ArgumentParser(), COMMAND_LINE[kind]
    parser.add_class_arguments(kind, "data")
    arguments = {name: value if isinstance(value, str) else json.dumps(value) for name, value in expected.items()}
    settings = parser.parse_args([f"--data.{name}={value}" for name, value in arguments.items()])
    data = parser.instantiate_classes(settings).data
    assert {name: getattr(data, name) for name in expected} == expected
    assert "train" not in settings.data or kind is StyleReferences
    assert "Processes that open images" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("given", ["--data.folders=a b", "--data.folders=[a b]"])
def test_a_folder_of_predictions_needs_no_list(given: str) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(Predictions, "data")
    assert parser.instantiate_classes(parser.parse_args([given, "--data.references=r"])).data.folders == ["a b"]
