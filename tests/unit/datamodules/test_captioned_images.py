"""Files of JSON lines: what they say, what is wrong with them, and the images and maps that they name."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.captioned_images import CaptionedImages, read_captions
from datamodules.loaders import BatchLoader, EpochBatchSampler, ReferenceBatches
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import spoil, write_folder, write_image
from tests.unit.datamodules.test_data_configs import BENEATH, over, read

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


def test_all_faulty_lines_are_named_at_once_up_to_twenty(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    file = write_lines(tmp_path, line("a.png"), *["[]"] * 22)
    with pytest.raises(ValueError, match="22 of 23 lines") as error:
        read_captions(file)
    lines = str(error.value).splitlines()[1:-1]
    assert lines == [*(f"  line {number}: not an object" for number in range(2, 22)), "  and 2 more"]


def test_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"^`captions`: there is no file `.*/none.jsonl`. {EXPECTED}"):
        read_captions(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=rf"^`captions`: the file `.*` has no line. {EXPECTED}"):
        read_captions(write_lines(tmp_path, "", " "))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "test", ("bird", "cat"), ("statue",), per_style=2)
    for number in range(7):
        write_image(root / f"{number}.png", (number, 0, 0))
    lines = [json.dumps({"image": f"{number}.png", "prompt": f"Number {number}"}) for number in range(7)]
    (root / "captions.jsonl").write_text("\n".join(lines))
    return root


def make(data: Path) -> CaptionedImages:
    return CaptionedImages(str(data / "captions.jsonl"), test=str(data / "test"), batch_size=3, prompts=["A rocket"])


def test_training_sees_each_caption_once_an_epoch_in_a_seeded_order_that_resumes(data: Path) -> None:
    images = make(data)
    images.setup("fit")
    loader = images.train_dataloader()
    batches = list(loader)
    seen = [reference.content for batch in batches for reference in batch["references"]]
    opened = [batch["source"].open([reference.index for reference in batch["references"]]) for batch in batches]
    assert [batch["content_maps"] for batch in opened] == [[None] * 3, [None] * 3, [None]]
    order = [index for batch in EpochBatchSampler(7, 3, seed=42) for index in batch]
    assert seen == [f"Number {index}" for index in order]
    assert [image.getpixel((0, 0))[0] for batch in opened for image in batch["images"]] == order
    resumed = make(data).train_dataloader()
    resumed.load_state_dict(loader.state_dict() | {"batches_done": 2})
    assert [r.content for batch in resumed for r in batch["references"]] == seen[6:]


def test_all_other_stages_are_those_of_style_references(data: Path) -> None:
    ours, theirs = make(data), StyleReferences("", str(data / "test"), prompts=["A rocket"])
    for loader in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        assert [batch["jobs"] for batch in getattr(ours, loader)()] == [
            batch["jobs"] for batch in getattr(theirs, loader)()
        ]
    assert ours.content_prompts == ["A bird", "A cat"]


def test_a_missing_file_is_named_before_a_model_is_loaded_and_in_training_alone(data: Path, tmp_path: Path) -> None:
    images = CaptionedImages(str(tmp_path / "none.jsonl"), test=str(data / "test"))
    images.setup("predict")
    with pytest.raises(FileNotFoundError, match="`captions`: there is no file"):
        images.setup("fit")


def test_the_command_line_takes_the_arguments_of_both_classes() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(CaptionedImages, "data")
    settings = parser.parse_args(["--data.captions=c.jsonl", "--data.test=t", "--data.batch_size=4"])
    images = parser.instantiate_classes(settings).data
    assert (images.captions, images.test, images.batch_size) == ("c.jsonl", "t", 4)
    assert "train" not in settings.data
    assert "File of JSON lines" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("first", BENEATH)
def test_the_config_goes_over_what_lies_beneath(first: str) -> None:
    images = over(BENEATH[first], read("captioned_images"))
    assert type(images) is CaptionedImages
    assert (images.captions, images.test) == ("data/captions.jsonl", "data/object_test")
    assert (images.prompts, images.generation_batch_size) == (["A dog"], 60)
