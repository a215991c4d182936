from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules.batches import Job
from datamodules.style_bench import FOREGROUND, PROMPTS, StyleBench
from tests.unit.datamodules.folders import spoil

STYLES = {"3D Model 1": 2, "lego_toy": 3, "Ölbild": 1, "woodcut": 2}


def write_bench(root: Path, styles: dict[str, int] = STYLES, size: tuple[int, int] = (12, 10)) -> Path:
    """StyleBench's layout: `<root>/<style>/<number>.png`, each image of a colour of its own."""
    for place, (style, count) in enumerate(styles.items()):
        (root / style).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, (place, number, 200)).save(root / style / f"{number}.png")
    return root


def jobs_of(loader: Any) -> list[Job]:
    return [job for batch in loader for job in batch["jobs"]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_bench(tmp_path_factory.mktemp("bench") / "style_evaluation_benchmark_v2")
    (folder / "woodcut" / "notes.txt").write_text("no image")
    (folder / ".cache").mkdir()
    (folder / "content").mkdir()
    for name in ("A bench.png", "A rocket.png"):
        Image.new("RGB", (16, 16), "white").save(folder / "content" / name)
    return str(folder)


def test_the_defaults_are_the_published_ones() -> None:
    bench = StyleBench()
    assert bench.root == bench.test == "data/style_evaluation_benchmark_v2"
    assert (bench.styles, bench.content_images, bench.predict_references, bench.seed) == (None, None, None, 42)
    assert bench.content_words == "person, animal, plant, or object in the foreground"
    assert bench.prompts == list(PROMPTS)
    assert len(set(PROMPTS)) == 20
    assert (PROMPTS[0], PROMPTS[3], PROMPTS[-1]) == ("A bench", "An elephant", "A wooden sailboat docked in a harbor")


def test_the_style_is_the_folder_and_the_content_the_published_phrase(root: str) -> None:
    bench = StyleBench(root)
    assert [(r.index, r.key, r.style) for r in bench.test_set.references] == [
        (0, "3D Model 1/0", "3D Model 1"),
        (1, "3D Model 1/1", "3D Model 1"),
        (2, "lego_toy/0", "lego_toy"),
        (3, "lego_toy/1", "lego_toy"),
        (4, "lego_toy/2", "lego_toy"),
        (5, "woodcut/0", "woodcut"),
        (6, "woodcut/1", "woodcut"),
        (7, "Ölbild/0", "Ölbild"),
    ]
    assert {r.content for r in bench.test_set.references} == {FOREGROUND}
    assert bench.content_prompts == ["Person, animal, plant, or object in the foreground"]
    assert bench.test_set.image(3).getpixel((0, 0)) == (1, 1, 200)


def test_text_driven_prediction_is_references_times_prompts_times_samples(root: str) -> None:
    bench = StyleBench(root, samples_per_prompt=4, noise="shared")
    jobs = jobs_of(bench.predict_dataloader())
    assert len(jobs) == 8 * 20 * 4
    assert [job.prompt for job in jobs[:80:4]] == list(PROMPTS)
    assert [(job.sample, job.seed) for job in jobs[:5]] == [(0, 42), (1, 43), (2, 44), (3, 45), (0, 42)]
    assert jobs == jobs_of(StyleBench(root, samples_per_prompt=4, noise="shared").predict_dataloader())


def test_a_number_of_references_is_spread_over_the_styles(root: str) -> None:
    bench = StyleBench(root, predict_references=4, evaluation_references=6, prompts=["A rocket"])
    assert Counter(job.reference.style for job in jobs_of(bench.predict_dataloader())) == dict.fromkeys(STYLES, 1)
    styles = Counter(job.reference.style for job in jobs_of(bench.val_dataloader()))
    assert sorted(styles.values()) == [1, 1, 2, 2]
    assert jobs_of(bench.val_dataloader()) == jobs_of(bench.test_dataloader())


def test_image_driven_prediction_is_references_times_content_images_times_samples(root: str) -> None:
    bench = StyleBench(root, content_images=f"{root}/content", samples_per_prompt=2, styles=["woodcut"], noise="shared")
    batches = list(bench.predict_dataloader())
    assert [(job.reference.key, job.prompt, job.seed) for job in jobs_of(batches)] == [
        (f"woodcut/{number}", prompt, seed)
        for number in (0, 1)
        for prompt in ("A bench", "A rocket")
        for seed in (42, 43)
    ]
    assert set(batches[0]["images"]) == {"woodcut/0", "woodcut/1", "content:A bench", "content:A rocket"}
    assert len(jobs_of(bench.val_dataloader())) == 8


def test_some_styles_give_the_jobs_that_all_styles_give(root: str) -> None:
    few = StyleBench(root, styles=["lego_toy", "Ölbild"], references_per_picture=1)
    every = jobs_of(StyleBench(root).predict_dataloader())
    jobs = jobs_of(few.predict_dataloader())
    assert jobs == [job for job in every if job.reference.style in ("lego_toy", "Ölbild")]
    assert len(jobs) == 80


def test_only_the_chosen_styles_must_have_enough_references(root: str) -> None:
    bench = StyleBench(root, styles=["lego_toy"], references_per_picture=3, prompts=["A rocket"])
    bench.setup("predict")
    assert {len(job.others) for job in jobs_of(bench.predict_dataloader())} == {2}
    with pytest.raises(ValueError, match=r"`references_per_picture` is 3, .*'Ölbild' \(1\)"):
        StyleBench(root, references_per_picture=3).setup("predict")


def test_words_may_be_given_for_each_image(root: str) -> None:
    bench = StyleBench(root, content_words={"lego_toy/*": "dog", "*/0.png": "cat", "*": "person"})
    contents = [r.content for r in bench.test_set.references]
    assert contents == ["cat", "person", "dog", "dog", "dog", "cat", "person", "cat"]
    assert StyleBench(root, content_words=None).test_set.references[0].content == FOREGROUND
    with pytest.raises(ValueError, match=r"`content_words` has no word for 7 of 8 images"):
        StyleBench(root, content_words={"Ölbild/*": "cat"}).setup("predict")


def test_there_is_nothing_to_train_on(root: str) -> None:
    text = r"`StyleBench` has no train set: .*`validate`, `test` and `predict`.*`fit` take .*`StyleReferences`"
    for ask in (lambda bench: bench.setup("fit"), StyleBench.train_dataloader, StyleBench.encoding_dataloader):
        with pytest.raises(ValueError, match=text):
            ask(StyleBench(root))


def test_faults_in_the_folder_are_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no folder `.*none`. Expected .*`MiniatureStyleBench`"):
        StyleBench(str(tmp_path / "none")).setup("predict")
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (12, 12)).save(tmp_path / "flat" / "0.png")
    with pytest.raises(FileNotFoundError, match=r"`.*flat` has no style folder. Expected .*`<root>/<style>/<file>`"):
        StyleBench(str(tmp_path / "flat")).setup("predict")
    bench = write_bench(tmp_path / "bench", {"lego": 1, "oil": 0, "tattoo": 0})
    with pytest.raises(FileNotFoundError, match=r"2 of 3 style folders of .* hold no image: 'oil', 'tattoo'. Put"):
        StyleBench(str(bench)).setup("validate")
    write_bench(tmp_path / "too_high" / "bench", {"lego": 1})
    with pytest.raises(FileNotFoundError, match=r"1 of 1 style folders of .*: 'bench'.* whose folders are the styles"):
        StyleBench(str(tmp_path / "too_high")).setup("predict")


def test_unknown_styles_are_named_beside_those_that_are_there(root: str) -> None:
    with pytest.raises(
        ValueError, match=r"`styles` names 'lego', 'oil', .*There are: '3D Model 1', 'lego_toy', 'woodcut'"
    ):
        StyleBench(root, styles=["lego", "woodcut", "oil"]).setup("test")


@pytest.mark.parametrize(("styles", "way_out"), [("woodcut", r"\['woodcut'\]"), ([], r"\['lego toy'\]")])
def test_styles_are_a_list_of_names(styles: Any, way_out: str) -> None:
    with pytest.raises(ValueError, match=rf"`styles` is a list of at least one style folder and was .*Give {way_out}"):
        StyleBench(styles=styles)


def test_images_that_are_too_small_or_too_long_are_named(tmp_path: Path) -> None:
    write_bench(tmp_path, {"oil": 2})
    write_bench(tmp_path, {"tiny": 1}, (64, 4))
    with pytest.raises(ValueError, match=r"(?s)1 of 3 images .*tiny/0.png \(64 x 4 pixels\).*Expected 8 pixels"):
        StyleBench(str(tmp_path)).setup("predict")


def test_damaged_references_are_left_out_with_a_warning(tmp_path: Path) -> None:
    spoil(write_bench(tmp_path, {"oil": 2, "woodcut": 1}) / "oil" / "0.png")
    with pytest.warns(UserWarning, match=r"1 of 3 images of .* cannot be read and are skipped"):
        references = StyleBench(str(tmp_path)).test_set.references
    assert references[0][:4] == (0, "oil/1", FOREGROUND, "oil")


def test_the_command_line_takes_the_arguments_of_both_classes() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(StyleBench, "data")
    settings = parser.parse_args(["--data.styles=[oil]", "--data.content_images=content", "--data.seed=3"])
    bench = parser.instantiate_classes(settings).data
    assert (bench.styles, bench.content_images, bench.seed) == (["oil"], "content", 3)
    assert "train" not in settings.data and "test" not in settings.data
