"""Content images: what their names say, and the jobs and batches made of them."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules.batches import Job, Reference
from datamodules.content_images import ContentImages, prompt_of
from datamodules.jobs import list_jobs
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import spoil, write_folder


def write_contents(root: Path, *names: str, size: tuple[int, int] = (12, 10)) -> Path:
    """Images of grey 100, 101, ... by these names."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (100 + number,) * 3).save(root / name)
    return root


def jobs_of(loader: Any) -> list[Job]:
    return [job for batch in loader for job in batch["jobs"]]


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("A rocket.png", "A rocket"),
        ("A_house_with_a_tree_beside.jpg", "A house with a tree beside"),
        ("__A  dog_2.webp", "A dog 2"),
        ("Ein Löwe.JPG", "Ein Löwe"),
        ("一只猫.png", "一只猫"),
    ],
)
def test_the_name_of_a_content_image_is_its_prompt(name: str, prompt: str) -> None:
    assert prompt_of(Path("content", name)) == prompt


def test_content_images_come_by_name_with_the_prompt_as_content(tmp_path: Path) -> None:
    root = write_contents(tmp_path, "A rocket.png", "A_bench.JPG", ".hidden.png")
    (root / "notes.txt").write_text("no image")
    contents = ContentImages(root)
    assert [reference[:4] for reference in contents.references] == [
        (0, "content:A rocket", "A rocket", ""),
        (1, "content:A_bench", "A bench", ""),
    ]
    assert [contents.image(index).getpixel((0, 0)) for index in (0, 1)] == [(100,) * 3, (101,) * 3]


def test_faults_in_the_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"`content_images`: there is no folder `.*none`. Expected images named"
    ):
        ContentImages(tmp_path / "none")
    (tmp_path / "deep").mkdir()
    write_contents(tmp_path / "deep" / "er", "A rocket.png")
    with pytest.raises(FileNotFoundError, match=r"`.*deep` holds no image. .*`A rocket.png`.* directly in .*\.webp"):
        ContentImages(tmp_path / "deep")
    bad = write_contents(tmp_path / "bad", "A rocket.png", "12.png", "__.png", " .png", "3_-!.jpg")
    with pytest.raises(ValueError, match=r"4 of 5 file names in `.*bad` say no prompt: ' .png', '12.png', '3_-!.jpg'"):
        ContentImages(bad)
    twice = write_contents(tmp_path / "twice", "A rocket.png", "A rocket.jpg")
    with pytest.raises(ValueError, match="have the same name but for the suffix"):
        ContentImages(twice)


@pytest.mark.parametrize("size", [(7, 30), (30, 7), (210, 10), (8, 161)])
def test_images_that_are_too_small_or_too_long_are_named(tmp_path: Path, size: tuple[int, int]) -> None:
    write_contents(tmp_path, "A bench.png")
    write_contents(tmp_path, "A rocket.png", size=size)
    text = (
        rf"(?s)1 of 2 images of .*A rocket.png \({size[0]} x {size[1]} pixels\).*Expected 8 pixels .* at most 20 times"
    )
    with pytest.raises(ValueError, match=text):
        ContentImages(tmp_path)


def test_images_at_the_limits_are_taken(tmp_path: Path) -> None:
    write_contents(tmp_path, "A bench.png", size=(8, 160))
    write_contents(tmp_path, "A rocket.png", size=(8, 8))
    assert len(ContentImages(tmp_path)) == 2


def test_damaged_content_images_are_left_out_with_a_warning(tmp_path: Path) -> None:
    spoil(write_contents(tmp_path, "A bench.png", "A rocket.png") / "A bench.png")
    with pytest.warns(UserWarning, match=r"1 of 2 images of .* cannot be read and are skipped"):
        assert [r.content for r in ContentImages(tmp_path).references] == ["A rocket"]


def test_jobs_are_references_times_content_images_times_samples() -> None:
    one, two = Reference(0, "a", "cat", "statue", "1"), Reference(1, "b", "dog", "statue", "2")
    rocket, bench = Reference(0, "content:r", "A rocket", "", "3"), Reference(1, "content:b", "A bench", "", "4")
    jobs = list_jobs([one, two], ["not looked at"], 2, seed=42, content_images=[rocket, bench], shared_noise=True)
    assert jobs == [
        Job(reference, content.content, sample, seed, content_image=content)
        for reference in (one, two)
        for content in (rocket, bench)
        for sample, seed in ((0, 42), (1, 43))
    ]
    assert all(job.content_image not in job.all_references for job in jobs)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "test", ("bird", "cat"), ("statue",), per_style=2)
    write_contents(root / "content", "A bench.png", "A flower.png", "A rocket.png")
    return root


def make(data: Path, **settings: Any) -> StyleReferences:
    arguments = {"content_images": str(data / "content"), "prompts": ["A house"]} | settings
    return StyleReferences(str(data / "test"), str(data / "test"), **arguments)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_every_reference_meets_every_content_image_in_all_stages(data: Path, num_workers: int) -> None:
    references = make(data, evaluation_references=2, generation_batch_size=5, num_workers=num_workers)
    for loader, count in ((references.predict_dataloader(), 4), (references.val_dataloader(), 2)):
        batches = list(loader)
        jobs = jobs_of(batches)
        assert len({job.reference for job in jobs}) == count
        assert [job.prompt for job in jobs] == ["A bench", "A flower", "A rocket"] * count
        for batch in batches:
            pairs = [(job.prompt, job.content_image) for job in batch["jobs"]]
            assert set(batch["images"]) == {
                *(job.reference.key for job in batch["jobs"]),
                *(content.key for _, content in pairs),
            }
            for prompt, content in pairs:
                assert (content.content, content.style) == (prompt, "")
                assert batch["images"][content.key].getpixel((0, 0)) == (100 + content.index,) * 3


def test_a_content_image_is_opened_once_a_batch(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    references = make(data, generation_batch_size=12)
    contents = references.content_set
    assert contents is not None
    opened, image = [], contents.image
    monkeypatch.setattr(contents, "image", lambda index: opened.append(index) or image(index))
    assert len(next(iter(references.predict_dataloader()))["jobs"]) == 12
    assert sorted(opened) == [0, 1, 2]


def test_without_the_folder_nothing_changes(data: Path) -> None:
    references = make(data, content_images=None)
    assert references.content_set is None
    assert {(job.prompt, job.content_image) for job in jobs_of(references.predict_dataloader())} == {("A house", None)}


def test_faults_are_named_before_a_model_is_loaded_and_not_in_training(data: Path, tmp_path: Path) -> None:
    references = make(data, content_images=str(tmp_path / "none"))
    for stage in ("validate", "test", "predict"):
        with pytest.raises(FileNotFoundError, match="`content_images`: there is no folder"):
            references.setup(stage)
    references.setup("fit")
