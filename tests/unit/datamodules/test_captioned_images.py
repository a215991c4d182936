"""Files of JSON lines: what they say, what is wrong with them, and the images and maps that they name."""

import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.captioned_images import CaptionedImages, read_captions
from datamodules.loaders import BatchLoader, EpochBatchSampler, ReferenceBatches
from tests.unit.datamodules.folders import spoil, write_folder, write_image

EXPECTED = r'Expected one JSON object a line, \{"image": "a/b.png", "prompt": "A dog"\}, with or without "content_map"'


def write_lines(folder: Path, *lines: object) -> Path:
    """A file of these lines, strings and bytes as they are and all else as JSON."""
    file = folder / "captions.jsonl"
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in raw))
    return file


def line(image: str, prompt: str = "A dog", **more: Any) -> dict[str, Any]:
    return {"image": image, "prompt": prompt, **more}


def write_images(folder: Path, *names: str) -> None:
    """Images whose red is 1, 2, ..."""
    for number, name in enumerate(names, start=1):
        write_image(folder / name, (number, 0, 0))


def reds(images: Any) -> list[int | None]:
    return [None if image is None else image.getpixel((0, 0))[0] for image in images]


def test_lines_become_references_by_key_with_the_prompt_as_content(tmp_path: Path) -> None:
    write_images(tmp_path / "here", "b/two.png", "a/one.v2.PNG", "../there/three.png")
    there = str(tmp_path / "there" / "three.png")
    file = write_lines(
        tmp_path / "here",
        line("./b/two.png", "Two dogs"),
        "",
        line("a/one.v2.PNG", "Ein Löwe\u2028"),
        "  ",
        line(there),
    )
    captioned = read_captions(file)
    assert [reference[:4] for reference in captioned.references] == [
        (0, there.removesuffix(".png"), "A dog", ""),
        (1, "a/one.v2", "Ein Löwe\u2028", ""),
        (2, "b/two", "Two dogs", ""),
    ]
    assert reds(map(captioned.image, range(3))) == [3, 2, 1]
    assert reds(map(captioned.content_map, range(3))) == [None, None, None]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, end: str) -> None:
    write_images(tmp_path, "a.png", "b.png")
    text = f'\ufeff{{"image": "a.png", "prompt": "\u2028é"}}{end}{{"image": "b.png", "prompt": "B"}}{end}'
    file = write_lines(tmp_path, text)
    assert [r.content for r in read_captions(file).references] == ["\u2028é", "B"]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_have_the_maps_in_the_order_of_the_references(tmp_path: Path, num_workers: int) -> None:
    write_images(tmp_path, "a.png", "b.png", "c.png", "maps/c.png", "maps/a.png")
    file = write_lines(
        tmp_path,
        line("a.png", content_map="maps/a.png"),
        line("c.png", content_map=str(tmp_path / "maps" / "c.png")),
        line("b.png", content_map=None),
    )
    [one, other] = BatchLoader(ReferenceBatches(read_captions(file), 3), [[2, 1, 0], [1]], num_workers)
    assert [r.key for r in one["references"]] == ["c", "b", "a"]
    assert (reds(one["images"]), reds(one["content_maps"])) == ([3, 2, 1], [4, None, 5])
    assert other["content_maps"] == [None]


def test_unreadable_images_and_those_of_unreadable_maps_are_left_out(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png", "c.png", "maps/a.png", "maps/b.png", "maps/c.png")
    bad_map, bad_image = spoil(tmp_path / "maps/a.png"), spoil(tmp_path / "b.png", keep=0)
    file = write_lines(tmp_path, *(line(f"{name}.png", content_map=f"maps/{name}.png") for name in "abc"))
    with pytest.warns(UserWarning, match="^2 of 3 images .* cannot be read and are skipped"):
        captioned = read_captions(file)
    assert set(captioned.skipped) == {str(bad_map), str(bad_image)}
    assert [(r.index, r.key) for r in captioned.references] == [(0, "c")]
    assert (reds([captioned.image(0)]), reds([captioned.content_map(0)])) == ([3], [6])


@pytest.mark.parametrize(
    ("faulty", "fault"),
    [
        ("{'image': 'a.png'}", r"not JSON \(Expecting property name"),
        (b'{"image": "a.png", "prompt": "\xff"}', r"not JSON \(.*can't decode byte 0xff"),
        ("[1]", "not an object"),
        ("null", "not an object"),
        ({"image": "a.png"}, 'no text as "prompt"'),
        ({"image": " ", "prompt": 3}, 'no text as "image", "prompt"'),
        (line("a.png", content_map=""), 'no text as "content_map"'),
        (line("a.png", style="lego", text="x"), 'unknown "style", "text"'),
        (line("none.png"), "there is no file .*/none.png"),
        (line(".", content_map="maps/none.png"), "there is no file .* and no file .*/maps/none.png"),
        (line("a.webp"), "the image 'a' has a line already; suffixes tell no images apart"),
    ],
)
def test_a_faulty_line_is_named_with_what_was_expected(tmp_path: Path, faulty: object, fault: str) -> None:
    write_images(tmp_path, "a.png", "a.webp")
    file = write_lines(tmp_path, line("a.png"), "", faulty)
    text = rf"(?s)^`captions`: 1 of 2 lines of `{file}` are faulty:\n  line 3: {fault}.*{EXPECTED}.* Correct these"
    with pytest.raises(ValueError, match=text):
        read_captions(file)


def test_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"^`captions`: there is no file `.*/none.jsonl`. {EXPECTED}"):
        read_captions(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=rf"^`captions`: the file `.*` has no line. {EXPECTED}"):
        read_captions(write_lines(tmp_path, "", " "))


def test_training_sees_each_caption_once_an_epoch_and_asks_for_the_file_alone(tmp_path: Path) -> None:
    test = str(write_folder(tmp_path / "test", ("bird", "cat"), ("statue",)))
    write_images(tmp_path, *(f"{number}.png" for number in range(1, 8)))
    file = write_lines(tmp_path, *(line(f"{number}.png", f"Number {number}") for number in range(1, 8)))
    images = CaptionedImages(str(file), test=test, batch_size=3)
    images.setup("fit")
    batches = list(images.train_dataloader())
    order = [index + 1 for batch in EpochBatchSampler(7, 3, seed=42) for index in batch]
    assert [r.content for batch in batches for r in batch["references"]] == [f"Number {number}" for number in order]
    opened = [batch["source"].open([reference.index for reference in batch["references"]]) for batch in batches]
    assert reds(image for batch in opened for image in batch["images"]) == order
    missing = CaptionedImages(str(tmp_path / "none.jsonl"), test=test)
    missing.setup("predict")
    with pytest.raises(FileNotFoundError, match="`captions`: there is no file"):
        missing.setup("fit")
