"""Names without collisions, lines after pictures, and one setting a folder."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from callbacks.prediction_writer import PredictionFolder, job_line, picture_name
from datamodules.batches import Job, Reference

REFERENCE = Reference(12, "frog/frog/a-frog-in-lego toy_0", "frog", "lego toy", "f0")
JOB = Job(REFERENCE, "A rocket", 0, 42)
CONTENT = Reference(2, "content:A rocket", "A rocket", "", "c0")
OTHER = Reference(3, "cat/a-cat-in-lego toy_0", "cat", "lego toy", "ca")


def test_the_name_of_a_job_says_what_it_is_and_never_changes() -> None:
    """So that folders of earlier versions go on."""
    assert picture_name(JOB, "masking") == "frog__lego-toy__a-rocket__masking__seed42__ac38a135a2bee73d.png"


def test_neither_the_place_nor_the_name_of_a_reference_is_part_of_a_picture() -> None:
    moved = JOB._replace(reference=REFERENCE._replace(index=13, key="another"), content_image=CONTENT._replace(index=7))
    assert picture_name(moved, "masking") == picture_name(JOB._replace(content_image=CONTENT), "masking")


def test_different_jobs_have_different_names() -> None:
    third = OTHER._replace(digest="third")
    changes: list[dict[str, Any]] = [
        {},
        *({"prompt": prompt} for prompt in ("A rocket!", "a rocket")),
        {"sample": 1},
        {"seed": 43},
        *({"reference": REFERENCE._replace(**change)} for change in ({"digest": "f1"}, {"content": "cat"})),
        *({name: part} for name in ("others", "negatives") for part in ((OTHER,), (third,), (OTHER, third))),
        *({name: (third, OTHER)} for name in ("others", "negatives")),
        {"others": (OTHER,), "negatives": (third,)},
        *({"content_image": content} for content in (CONTENT, CONTENT._replace(digest="c1"))),
        {"content_image": CONTENT, "others": (OTHER,)},
    ]
    assert len({picture_name(JOB._replace(**change), "masking").lower() for change in changes}) == len(changes)


def test_content_images_others_and_negatives_stand_in_the_line_where_there_are_any() -> None:
    assert set(job_line(JOB)) == {"reference", "prompt", "sample", "seed"}
    negative = Reference(-1, "negative:grey.png", "", "negative", "9e")
    whole = JOB._replace(content_image=CONTENT, others=(OTHER,), negatives=(negative,))
    line = json.loads(json.dumps(job_line(whole)))
    assert line["content_image"] == {"key": "content:A rocket", "content": "A rocket", "style": "", "digest": "c0"}
    assert line["others"] == [{"key": "cat/a-cat-in-lego toy_0", "content": "cat", "style": "lego toy", "digest": "ca"}]
    assert line["negatives"] == [{"key": "negative:grey.png", "content": "", "style": "negative", "digest": "9e"}]


def test_lines_that_two_runs_wrote_are_repaired(tmp_path: Path) -> None:
    folder = PredictionFolder(tmp_path)
    folder.open({})
    for name, rank in (("a.png", 0), ("a.png", 0), ("b.png", 0), ("b.png", 1), ("c.png", 1)):
        folder.write(name, Image.new("RGB", (2, 2)), {"prompt": name}, rank)
    assert folder.open({}) == {"a.png", "b.png", "c.png"}
    lines = [file.read_text().splitlines() for file in sorted(tmp_path.glob("*.jsonl"))]
    assert [[json.loads(line)["file"] for line in part] for part in lines] == [["a.png", "b.png"], ["c.png"]]


def test_long_and_odd_words_make_names_that_file_systems_take(tmp_path: Path) -> None:
    reference = REFERENCE._replace(content="person, animal, plant, or object in the foreground", style="../日本" * 40)
    name = picture_name(Job(reference, "A house / with a tree: beside?" * 20, 0, 2**63), "m" * 300)
    assert len(name.encode()) < 255
    (tmp_path / name).touch()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def picture(job: Job = JOB) -> tuple[str, Image.Image, dict[str, Any]]:
    return picture_name(job, "masking"), Image.new("RGB", (4, 4), "red"), job_line(job)


def lines(folder: Path, rank: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"generations-{rank}.jsonl").read_text().splitlines()]


def test_a_written_picture_is_finished_for_the_next_run(tmp_path: Path) -> None:
    folder = PredictionFolder(tmp_path)
    assert folder.open({"name": "masking"}) == set()
    folder.write(*picture(), rank=3)
    [line] = lines(tmp_path, rank=3)
    assert Image.open(tmp_path / line["file"]).getpixel((0, 0)) == (255, 0, 0)
    reference = {"key": REFERENCE.key, "content": "frog", "style": "lego toy", "digest": "f0"}
    assert line == {"file": line["file"], "reference": reference, "prompt": "A rocket", "sample": 0, "seed": 42}
    assert PredictionFolder(tmp_path).open({"name": "masking"}) == {line["file"]}


def test_what_was_interrupted_is_not_finished(tmp_path: Path) -> None:
    folder = PredictionFolder(tmp_path)
    folder.open({})
    jobs = [JOB._replace(sample=s) for s in range(5)]
    for job in jobs:
        folder.write(*picture(job), rank=0)
    names = [picture_name(job, "masking") for job in jobs]
    file = tmp_path / "generations-0.jsonl"
    whole = file.read_text().splitlines()
    file.write_text("\n".join([*whole[:4], whole[4][:30]]))  # the last line was cut off by a crash
    (tmp_path / names[1]).unlink()
    (tmp_path / names[2]).write_bytes(b"")
    (tmp_path / f".{names[4]}.77.tmp").write_bytes(b"half")
    assert PredictionFolder(tmp_path).open({}) == {names[0], names[3]}
    assert [line["file"] for line in lines(tmp_path)] == [names[0], names[3]]
    assert not list(tmp_path.glob(".*.tmp"))


def test_other_settings_are_refused_by_name_and_nothing_is_lost(tmp_path: Path) -> None:
    old = {"name": "masking", "condition": {"theta": 0.7, "drop": "high"}, "sampling": {"scale": 1.0}, "t": (0.9, 1)}
    folder = PredictionFolder(tmp_path)
    folder.open({"condition": {"theta": 0.9}})  # a run that fails before its first picture binds nobody
    folder.open(old)
    folder.write(*picture(), rank=0)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="made with other settings") as caught:
        folder.open({**old, "condition": {"theta": 0.8, "drop": "high"}, "sampling": {"scale": {"up": 1}}})
    text = str(caught.value)
    assert "`condition.theta` is 0.8 and was 0.7" in text
    assert "`sampling.scale` is '(absent)' and was 1.0" in text
    assert "drop" not in text
    assert "Give another folder (`--trainer.default_root_dir`" in text
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert folder.open(json.loads(json.dumps(old))) == {picture()[0]}


@pytest.mark.skipif(os.name != "posix", reason="a file in place of the folder")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    with pytest.raises(OSError, match=r"cannot write `.*outputs/predict/settings.json`.*choose a folder"):
        PredictionFolder(tmp_path / "outputs" / "predict").open({})


def test_a_line_of_a_picture_outside_of_the_folder_is_none_of_its_own(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "outside.png")
    folder = tmp_path / "out"
    folder.mkdir()
    names = ["../outside.png", str(tmp_path / "outside.png"), ["a"], None, "x" * 5000, "\ud800"]
    (folder / "generations-0.jsonl").write_text("".join(json.dumps({"file": name}) + "\n" for name in names) + "[1]\n3")
    assert PredictionFolder(folder).open({}) == set()


@pytest.mark.parametrize("content", ["", "[1]", "{", "version https://git-lfs.github.com/spec/v1"])
def test_damaged_settings_are_named(tmp_path: Path, content: str) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(ValueError, match=r"`folder` cannot be read: '.*settings.json' is damaged.* another folder"):
        PredictionFolder(tmp_path).open({})
