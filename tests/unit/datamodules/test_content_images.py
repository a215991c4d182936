"""Content images: what their names say, and the batches made of them."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules.images import ImageFile
from datamodules.jobs import read_content_images
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import jobs_of, spoil, write_folder


def write_contents(root: Path, *names: str, size: tuple[int, int] = (12, 10)) -> Path:
    """Images of grey 100, 101, ... by these names."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (100 + number,) * 3).save(root / name)
    return root


def test_content_images_come_by_name_with_the_prompt_as_content(tmp_path: Path) -> None:
    names = {
        "A rocket.png": "A rocket",
        "A_house_with_a_tree_beside.jpg": "A house with a tree beside",
        "Ein Löwe.JPG": "Ein Löwe",
        "__A  dog_2.webp": "A dog 2",
        "一只猫.png": "一只猫",
    }
    root = write_contents(tmp_path, *names, ".hidden.png")
    (root / "notes.txt").write_text("no image")
    spoil(write_contents(tmp_path, "A ship.png") / "A ship.png")
    with pytest.warns(UserWarning, match=r"1 of 6 images of .* cannot be read and are skipped"):
        contents = read_content_images(root)
    assert [reference[:4] for reference in contents.references] == [
        (index, f"content:{Path(name).stem}", prompt, "") for index, (name, prompt) in enumerate(names.items())
    ]
    assert [contents.image(index).getpixel((0, 0)) for index in (0, 4)] == [(100,) * 3, (104,) * 3]


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        (None, FileNotFoundError, r"`content_images`: there is no folder `.*root`. Expected images named"),
        ([], FileNotFoundError, r"`.*root` holds no image. .*`A rocket.png`.* directly in .*\.webp"),
        (
            ["A rocket.png", "12.png", "__.png", " .png", "3_-!.jpg"],
            ValueError,
            r"4 of 5 file names in `.*root` say no prompt: ' .png', '12.png', '3_-!.jpg', '__.png'. .*Rename",
        ),
        (["A rocket.png", "A rocket.jpg"], ValueError, "have the same name but for the suffix"),
    ],
)
def test_faults_in_the_folder_are_named(
    tmp_path: Path, names: list[str] | None, error: type[Exception], text: str
) -> None:
    if names is not None:
        write_contents(tmp_path / "root", *names)
        write_contents(tmp_path / "root" / "deeper", "A rocket.png")
    with pytest.raises(error, match=text):
        read_content_images(tmp_path / "root")


@pytest.mark.parametrize("size", [(7, 30), (30, 7), (210, 10), (8, 161)])
def test_images_that_are_too_small_or_too_long_are_named(tmp_path: Path, size: tuple[int, int]) -> None:
    write_contents(tmp_path, "A bench.png", size=(8, 160))
    write_contents(tmp_path, "A dog.png", size=(8, 8))
    assert len(read_content_images(tmp_path)) == 2
    write_contents(tmp_path, "A rocket.png", size=size)
    expected = r"Expected 8 pixels .* at most 20 times"
    with pytest.raises(ValueError, match=rf"(?s)1 of 3 images of .*rocket.png \({size[0]} x {size[1]} p.*{expected}"):
        read_content_images(tmp_path)


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
            assert set(batch["images"]) == {image.key for job in batch["jobs"] for image in job.all_images}
            for job in batch["jobs"]:
                assert job.content_image and (job.content_image.content, job.content_image.style) == (job.prompt, "")
                colour = batch["images"][job.content_image.key].getpixel((0, 0))
                assert colour == (100 + job.content_image.index,) * 3


def test_an_image_is_opened_once_a_batch(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = make(data, generation_batch_size=12).predict_dataloader()
    opened, read = [], ImageFile.read
    monkeypatch.setattr(ImageFile, "read", lambda file: opened.append(file) or read(file))
    assert len(next(iter(batches))["jobs"]) == 12
    assert len(opened) == len(set(opened)) == 3 + 4


def test_faults_are_named_before_a_model_is_loaded_and_not_in_training(data: Path, tmp_path: Path) -> None:
    references = make(data, content_images=str(tmp_path / "none"))
    for stage in ("validate", "test", "predict"):
        with pytest.raises(FileNotFoundError, match="`content_images`: there is no folder"):
            references.setup(stage)
    references.setup("fit")
