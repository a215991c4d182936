"""The datamodules that draw their own set: whole, once, and by their recipe alone."""

import json
from collections import Counter
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules.miniature import captioned_images, drawing, generate, references
from datamodules.miniature.bench_styles import BENCH_STYLES
from datamodules.miniature.captioned_images import MiniatureCaptionedImages
from datamodules.miniature.drawing import drawn_once
from datamodules.miniature.generate import draw
from datamodules.miniature.references import MiniatureReferences
from datamodules.miniature.style_bench import DRAWN_PLAINLY, REFERENCE_CONTENTS, MiniatureStyleBench
from datamodules.style_bench import FOREGROUND, StyleBench
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES
from tests.unit.datamodules.test_data_configs import BENEATH, over, read

SETS: dict[Any, dict[str, int]] = {
    MiniatureReferences: {"train_per_style": 2, "test_per_style": 1},
    MiniatureCaptionedImages: {"per_pair": 2},
    MiniatureStyleBench: {"per_style": 1},
}


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (references, captioned_images):
        for name, few in {
            "CONTENTS": ("airplane", "cat"),
            "TRAIN_STYLES": ("3D model",),
            "TEST_STYLES": ("tattoo",),
        }.items():
            monkeypatch.setattr(module, name, few)
    monkeypatch.setattr(captioned_images, "PROMPT_CONTENTS", ("rocket",))


def make(kind: Any, root: Path, **settings: Any) -> Any:
    return kind(str(root), **(SETS[kind] | settings))


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("kind", SETS)
def test_a_set_is_drawn_once_whole_and_by_its_seed_alone(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {"one": 0, "two": 0, "other": 7}
    for name, seed in sets.items():
        make(kind, tmp_path / name, drawing_seed=seed).prepare_data()
    one, two, other = (files(tmp_path / name) for name in sets)
    assert one == two
    assert not {content for name, content in one.items() if name.endswith("png")} & set(other.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(sets)
    monkeypatch.setattr(generate, "write_drawings", None)
    make(kind, tmp_path / "one").prepare_data()
    assert files(tmp_path / "one") == one
    with pytest.raises(
        ValueError, match=r"'seed': \d*0}, but .*'seed': \d*7} is asked for. Remove that folder .* another"
    ):
        make(kind, tmp_path / "one", drawing_seed=7).prepare_data()


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("kind", SETS)
def test_an_interrupted_drawing_leaves_nothing(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(root: Path, drawings: dict[str, Any]) -> None:
        root.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "write_drawings", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(kind, tmp_path / "mini").prepare_data()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_sets")
def test_two_runs_that_draw_at_once_share_one_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, second, drawn = (
        generate.write_drawings,
        Thread(target=make(MiniatureReferences, tmp_path / "mini").prepare_data),
        [],
    )

    def overtaken(root: Path, drawings: dict[str, Any]) -> None:
        second.start()  # waits for the first, however long that takes
        drawn.append(root)
        write(root, drawings)

    monkeypatch.setattr(generate, "write_drawings", overtaken)
    make(MiniatureReferences, tmp_path / "mini").prepare_data()
    second.join()
    assert len(drawn) == 1, "nothing is drawn twice"
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


def test_a_folder_that_was_not_drawn_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"was drawn with None, .* choose another one"):
        drawn_once(tmp_path, {"seed": 3}, lambda root: pytest.fail(f"drawn into {root}"))


def test_a_fault_of_the_disk_is_raised(tmp_path: Path) -> None:
    def full(root: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        drawn_once(tmp_path / "set", {}, full)


def test_a_recipe_lies_in_the_folder_that_it_made(tmp_path: Path) -> None:
    drawn_once(tmp_path / "deep" / "set", {"seed": 3}, lambda root: root.mkdir(parents=True))
    assert files(tmp_path / "deep" / "set") == {drawing.RECIPE: b'{"seed": 3}\n'}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [*((kind, name, 0) for kind in SETS for name in SETS[kind]), *((kind, "drawing_seed", -1) for kind in SETS)],
)
def test_numbers_that_are_too_small_are_named(kind: Any, name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is a number from {value + 1} up and was {value}"):
        make(kind, tmp_path, **{name: value})


@pytest.mark.parametrize(
    ("kind", "arguments", "hidden"),
    [
        (MiniatureReferences, {"train_per_style": 3, "batch_size": 4}, ("train", "test")),
        (MiniatureCaptionedImages, {"per_pair": 2, "batch_size": 4}, ("captions", "test", "train")),
        (MiniatureStyleBench, {"per_style": 2, "styles": ["mosaic"], "content_images": "c"}, ("root", "train", "test")),
    ],
)
def test_the_command_line_takes_the_arguments_of_all_classes(
    kind: Any, arguments: dict[str, Any], hidden: tuple[str, ...]
) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(kind, "data")
    settings = parser.parse_args([f"--data.{name}={value}" for name, value in arguments.items()])
    made = parser.instantiate_classes(settings).data
    assert {name: made.recipe[name] if name in made.recipe else getattr(made, name) for name in arguments} == arguments
    assert not any(name in settings.data for name in hidden)
    assert "Processes that open images; 0 opens them in the main process." in " ".join(parser.format_help().split())


@pytest.mark.usefixtures("small_sets")
def test_references_lie_in_the_published_layout(tmp_path: Path) -> None:
    made = make(MiniatureReferences, tmp_path / "mini", batch_size=3)
    made.prepare_data()
    made.setup("fit")
    train, test = made.train_set.references, made.test_set.references
    assert [(r.content, r.style) for r in train] == [(c, "3D model") for c in ("airplane", "cat") for _ in range(2)]
    assert [(r.content, r.style) for r in test] == [(c, "tattoo") for c in ("airplane", "cat")]
    assert train[3].key == "cat/cat/a-cat-in-3D-model_1"
    assert made.train_set.image(3).tobytes() == draw("cat", "3D model", [0, 1]).tobytes()
    assert [len(batch["references"]) for batch in made.train_dataloader()] == [3, 1]
    with Image.open(next((tmp_path / "mini").rglob("*.png"))) as image:
        assert (image.mode, image.size) == ("RGB", (64, 64))


@pytest.mark.usefixtures("small_sets")
def test_captions_name_the_content_alone_and_test_images_are_apart(tmp_path: Path) -> None:
    made = make(MiniatureCaptionedImages, tmp_path / "mini")
    made.prepare_data()
    made.setup("fit")
    train, test = made.train_set, made.test_set
    assert [json.loads(line) for line in (tmp_path / "mini" / "captions.jsonl").read_text().splitlines()] == [
        {
            "image": f"images/{content}/{article}-{content}-in-{style}_{index}.png",
            "prompt": f"{article.title()} {content}",
        }
        for article, content in (("an", "airplane"), ("a", "cat"), ("a", "rocket"))
        for style in ("3D-model", "tattoo")
        for index in (0, 1)
    ]
    assert train.references[7].key == "images/cat/a-cat-in-tattoo_1"
    assert train.image(7).tobytes() == draw("cat", "tattoo", [1_000_000, 1]).tobytes()
    assert train.content_map(7) is None
    assert [(r.content, r.style) for r in test.references] == [
        (content, style) for content in ("airplane", "cat") for style in ("3D model", "tattoo")
    ]
    drawn = {train.image(index).tobytes() for index in range(12)}
    drawn |= {draw(r.content, r.style, [0, 0]).tobytes() for r in test.references}  # of the other miniature
    assert not drawn & {test.image(index).tobytes() for index in range(4)}
    assert len(drawn) == 16


def test_every_content_is_captioned_in_every_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(generate, "write_drawings", lambda root, drawings: (root.mkdir(), drawn.update(drawings)))
    MiniatureCaptionedImages(str(tmp_path / "mini")).prepare_data()
    pairs = Counter((Path(name).parts[0], content, style) for name, (content, style, _) in drawn.items())
    styles = (*TRAIN_STYLES, *TEST_STYLES)
    expected = {("images", c, s): 40 for c in (*CONTENTS, *PROMPT_CONTENTS) for s in styles}
    assert pairs == expected | {("object_test", c, s): 1 for c in CONTENTS for s in styles}


@pytest.mark.parametrize("first", BENEATH)
@pytest.mark.parametrize("class_alone", [False, True])
def test_neither_config_nor_class_takes_folder_or_seed_from_what_lies_beneath(first: str, class_alone: bool) -> None:
    said = read("miniature_captioned_images")
    images: Any = over(BENEATH[first], {"class_path": said["class_path"]} if class_alone else said)
    assert isinstance(images, MiniatureCaptionedImages)
    files = tuple(f"data/miniature_captioned/{name}" for name in ("captions.jsonl", "object_test"))
    assert (images.captions, images.test) == files
    assert images.recipe == {"per_pair": 40, "seed": 1_000_000}
    assert (images.prompts, images.generation_batch_size) == (["A dog"], 60)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("data") / "bench")
    MiniatureStyleBench(root).prepare_data()
    return root


def test_the_bench_has_styles_that_training_never_saw_and_contents_that_are_known(bench: str) -> None:
    made = MiniatureStyleBench(bench)
    made.prepare_data()
    shown = made.test_set.references
    assert Counter(r.style for r in shown) == dict.fromkeys(BENCH_STYLES, 4)
    for style in BENCH_STYLES:
        contents = {r.content for r in shown if r.style == style}
        assert len(contents) == 4 and contents <= set(REFERENCE_CONTENTS)
    assert {r.key for r in shown if r.style == "blueprint"} == {
        f"blueprint/{content}_{number}" for number, content in enumerate(("cat", "frog", "ship", "truck"))
    }
    made.setup("predict")
    assert made.prompts == ["A bench", "A human", "A laptop", "A rocket", "A flower"]
    assert len(made.predict_jobs) == 24 * 5


def test_content_images_show_the_other_contents_and_are_named_by_their_prompts(bench: str) -> None:
    assert {*DRAWN_PLAINLY, *REFERENCE_CONTENTS} == {*CONTENTS, *PROMPT_CONTENTS}
    assert not set(DRAWN_PLAINLY) & set(REFERENCE_CONTENTS)
    made = MiniatureStyleBench(bench, content_images=f"{bench}/content")
    made.setup("predict")
    batch = next(iter(made.predict_dataloader()))
    prompts = {job.prompt for job in batch["jobs"][:10]}
    assert len(prompts) == 10 and {"A rocket", "A bench", "An airplane", "An automobile"} <= prompts
    with Image.open(f"{bench}/content/A rocket.png") as image:
        assert image.tobytes() == batch["images"]["content:A rocket"].tobytes() == draw("rocket", "plain", 0).tobytes()
    assert len(made.predict_jobs) == 24 * 10


def test_the_bench_lies_on_disk_as_the_published_one_does(bench: str) -> None:
    published = StyleBench(f"{bench}/styles", content_images=f"{bench}/content")
    published.setup("predict")
    ours = MiniatureStyleBench(bench, content_words=FOREGROUND)
    assert published.test_set.references == ours.test_set.references
    assert published.test_set.references[0].content == FOREGROUND
