"""Images that cannot be read, at the start or later, and folders with links."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from datamodules.batches import Job
from datamodules.images import damage, read_image
from datamodules.loaders import BatchLoader, JobBatches, ReferenceBatches
from datamodules.references import ReferenceFolder
from scripts.pack_shards import main
from tests.unit.datamodules.folders import write_folder, write_image


def encoded(size: tuple[int, int], format: str = "PNG", mode: str = "RGB") -> bytes:
    stream = BytesIO()
    Image.new(mode, size).save(stream, format)
    return stream.getvalue()


def test_pixels_are_bounded_by_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    long, large = encoded((20_000, 1)), encoded((64, 48))
    monkeypatch.setattr(PngImageFile, "load", lambda image: pytest.fail("was decoded"))
    assert "of its 20000 x 1 pixels" in str(damage(long))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    assert "64 x 48 pixels are more than 3000" in str(damage(large))


@pytest.mark.parametrize("format", ["BMP", "TIFF", "GIF", "JPEG2000", "PPM", "TGA"])
def test_other_formats_are_read(format: str) -> None:
    assert read_image(encoded((9, 7), format)).size == (9, 7)


def test_fractions_are_not_taken_for_black() -> None:
    assert "fractions" in str(damage(encoded((9, 9), "TIFF", "F")))


def test_formats_that_are_not_read_broken_links_and_odd_names_are_counted(tmp_path: Path) -> None:
    write_image(tmp_path / "ink" / "1.png")
    (tmp_path / "ink" / "2.heic").write_bytes(b"heic")
    (tmp_path / "ink" / "3.nef").write_bytes(encoded((9, 9), "TIFF"))  # of which Pillow would read a preview
    (tmp_path / "ink" / "4.png").symlink_to("nowhere.png")
    (tmp_path / "ink" / "5.png").symlink_to("5.png")
    odd = os.fsdecode(b"\xff.png")
    write_image(tmp_path / "ink" / odd)
    with pytest.warns(UserWarning, match="5 of 6 images"):
        references = ReferenceFolder(tmp_path, "cat")
    assert [r.key for r in references.references] == ["ink/1"]
    reasons = {Path(name).name: why for name, why in references.skipped.items()}
    assert list(reasons) == ["2.heic", "3.nef", "4.png", "5.png", "\\udcff.png"]
    assert reasons["4.png"] == "No such file or directory"


@pytest.mark.parametrize("words", ["cat", None])
def test_loops_of_links_bring_no_image_twice(tmp_path: Path, words: str | None) -> None:
    write_folder(tmp_path / "root", ("cat",), ("lego toy",))
    for place, target in [("loop", "."), ("cat/up", ".."), ("cat/cat/twin", "../../cat"), ("over", "..")]:
        (tmp_path / "root" / place).symlink_to(target)
    keys = [r.key for r in ReferenceFolder(tmp_path / "root", words).references]
    assert keys == ["cat/cat/a-cat-in-lego toy_0", "cat/cat/a-cat-in-lego toy_1"]


def test_pictures_of_images_that_are_gone_or_replaced_are_failures(tmp_path: Path) -> None:
    references = ReferenceFolder(write_folder(tmp_path, ("cat",), ("lego toy",), 3))
    jobs = [Job(reference, "A bench", 0, 1) for reference in references.references]
    Path(references.source(0).name).unlink()
    write_image(Path(references.source(1).name), (9, 9, 9))
    batch = JobBatches(references, jobs)[[0, 1, 2]]
    assert batch["jobs"] == jobs[2:]
    gone, replaced = batch["failures"].values()
    assert list(batch["failures"]) == jobs[:2]
    assert "lego toy_0' can no longer be read: No such file" in gone
    assert "lego toy_1' can no longer be read: it was replaced after the start" in replaced


def test_training_goes_on_without_images_that_are_gone_in_as_many_batches(tmp_path: Path) -> None:
    references = ReferenceFolder(write_folder(tmp_path, ("cat",), ("lego toy",), 4))
    for index in (0, 1):
        Path(references.source(index).name).unlink()
    with pytest.warns(UserWarning, match="2 images can no longer be read.*without them"):
        batches = list(BatchLoader(ReferenceBatches(references), [[0, 1], [1, 3]]))
    assert [[r.index for r in batch["references"]] for batch in batches] == [[2], [3]]
    assert [len(batch["images"]) for batch in batches] == [1, 1]
    left_out = ReferenceBatches(references, keys_only=True, left_out={0, 1})
    assert [r.index for r in left_out[[1, 0]]["references"]] == [2]


def test_classes_are_words_in_prompts(tmp_path: Path) -> None:
    write_image(tmp_path / "hot_dog" / "a-hot-dog-in-dark watercolor_0.png")
    [reference] = ReferenceFolder(tmp_path).references
    assert (reference.content_prompt, reference.style) == ("A hot dog", "dark watercolor")


def test_images_with_any_names_are_packed_by_content_words(tmp_path: Path) -> None:
    from datamodules.references import open_references

    write_image(tmp_path / "mine" / "ink" / "x.png")
    main([str(tmp_path / "mine"), str(tmp_path / "shards"), "--content-words", '{"*x*": "dog"}'])
    [reference] = open_references(tmp_path / "shards").references
    assert reference[1:4] == ("ink/x", "dog", "ink")
