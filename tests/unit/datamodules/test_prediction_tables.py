"""Tables of pictures of any origin."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.batches import Prediction
from datamodules.prediction_tables import read_table
from tests.unit.datamodules.folders import write_image

ROW = {"image": "out/1.png", "reference": "refs/dog.jpg", "prompt": "A cat, sitting", "content": "dog"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("out/1.png", "out/2.png", "out/3.png", "refs/dog.jpg", "maps/A cat.v2.png"):
        write_image(tmp_path / name)
    return tmp_path


def write_csv(folder: Path, *rows: dict[str, Any], name: str = "others.csv") -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with open(folder / name, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return str(folder / name)


def write_lines(folder: Path, *rows: Any, name: str = "others.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("write", [write_csv, write_lines])
def test_the_needed_columns_are_enough(folder: Path, write: Any) -> None:
    found = read_table(write(folder, ROW, {**ROW, "image": str(folder / "out/2.png"), "remark": "not looked at"}))
    one = Prediction(
        path=str(folder / "out/1.png"),
        method="others",
        reference_key="refs/dog",
        reference_path=str(folder / "refs/dog.jpg"),
        content="dog",
        style="",
        prompt="A cat, sitting",
        sample=0,
        seed=None,
        share_masked=None,
        settings={},
    )
    assert found.predictions == [one, one._replace(path=str(folder / "out/2.png"), sample=1)]
    assert one.content_prompt == "A dog"
    assert found.failures == {}
    assert found.references[one.reference_path].read() == (folder / "refs/dog.jpg").read_bytes()


@pytest.mark.parametrize("write", [write_csv, write_lines])
def test_all_columns_are_taken_and_blank_ones_are_as_if_left_out(folder: Path, write: Any) -> None:
    content = {"content_image": "maps/A cat.v2.png"}
    further = {"style": "Öl\u2028bild", "method": "b", "sample": 4, "seed": 46, **content}
    blank = {"image": "out/2.png", "style": "", "method": None, "sample": "", "seed": None}
    first, second = read_table(write(folder, ROW | further, ROW | further | blank)).predictions
    assert (first.style, first.method, first.sample, first.seed) == ("Öl\u2028bild", "b", 4, 46)
    assert (second.style, second.method, second.sample, second.seed) == ("", "others", 0, None)
    for prediction in (first, second):
        assert prediction.content_image == "maps/A cat.v2"
        assert prediction.content_image_path == str(folder / "maps/A cat.v2.png")


def test_samples_are_numbered_within_the_same_job(folder: Path) -> None:
    images = [{"image": f"out/{number}.png"} for number in (1, 2, 3)]
    prompts = [{"prompt": prompt} for prompt in ("A cat", "A dog", "A cat")]
    table = write_lines(folder, *(ROW | image | prompt for image, prompt in zip(images, prompts, strict=True)))
    assert [p.sample for p in read_table(table).predictions] == [0, 0, 1]
    methods = [{"method": method} for method in ("a", "a", "b")]
    table = write_lines(folder, *(ROW | image | method for image, method in zip(images, methods, strict=True)))
    assert [p.sample for p in read_table(table).predictions] == [0, 1, 0]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"prompt": ""}, "no text as `prompt`"),
        ({"content": " "}, "no text as `content`"),
        ({"image": "out/9.png"}, "there is no file {folder}/out/9.png"),
        ({"image": "out"}, "there is no file {folder}/out"),
        ({"image": "9.png", "reference": "9.jpg"}, "there is no file {folder}/9.png and no file {folder}/9.jpg"),
        ({"content_image": "9.png"}, "there is no file {folder}/9.png"),
        ({"sample": "1.5"}, "`sample` is '1.5' and no whole number"),
        ({"seed": "x"}, "`seed` is 'x' and no whole number"),
        ({"image": "out/../out/1.png"}, "the image 'out/../out/1.png' stands in line 2 already"),
    ],
)
def test_faulty_rows_are_named_by_their_lines(folder: Path, row: dict[str, str], fault: str) -> None:
    table = write_csv(folder, ROW, ROW | {"image": "out/2.png"}, {**ROW, "image": "out/3.png", **row})
    with pytest.raises(ValueError, match="faulty") as error:
        read_table(table)
    start, expected = f"`table`: 1 of 3 rows of `{table}` are faulty:\n  line 4: ", fault.format(folder=folder)
    assert str(error.value).startswith(start + expected + "\nExpected a `.csv` (UTF-8, commas")
    assert str(error.value).endswith("Correct these rows, or take them out.")


def test_only_the_first_of_many_faults_are_listed(folder: Path) -> None:
    table = write_lines(folder, ROW, *[ROW] * 22)
    with pytest.raises(ValueError, match=r"22 of 23 rows of .*\n  line 2: .*(\n.*){18}\n  line 21: .*\n  and 2 more\n"):
        read_table(table)


def test_texts_of_another_type_are_faults(folder: Path) -> None:
    with pytest.raises(ValueError, match="line 2: no text as `prompt`"):
        read_table(write_lines(folder, ROW, ROW | {"image": "out/2.png", "prompt": 7}))


def test_missing_columns_and_rows_are_named(folder: Path) -> None:
    (folder / "german.csv").write_text("image;reference;prompt;content\nout/1.png;refs/dog.jpg;A cat;dog\n")
    with pytest.raises(ValueError, match="nothing in the columns image, reference, prompt, content; it has image;refe"):
        read_table(str(folder / "german.csv"))
    without = {name: value for name, value in ROW.items() if name != "content"}
    with pytest.raises(
        ValueError, match=r"`.*others.csv` has nothing in the columns content; it has image, reference, p"
    ):
        read_table(write_csv(folder, without))
    for name in ("empty.csv", "empty.jsonl"):
        (folder / name).write_text("\n")
        with pytest.raises(ValueError, match=rf"`table`: `.*{name}` has no row\. Expected a `.csv`"):
            read_table(str(folder / name))


def test_tables_that_cannot_be_read_are_named(folder: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"`table`: there is no file `none.csv`\. Expected a `.csv` .* or `.jsonl`"
    ):
        read_table("none.csv")
    (folder / "table.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"`table` was `.*table.xlsx`, with the suffix '.xlsx'\. Expected a `.csv`"):
        read_table(str(folder / "table.xlsx"))
    (folder / "latin.csv").write_bytes("image,style\n1.png,Öl\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"`.*latin.csv` is not UTF-8 .*Save it as UTF-8"):
        read_table(str(folder / "latin.csv"))
    (folder / "wide.csv").write_text("image,prompt\n1.png,A cat\n2.png,A cat, sitting\n")
    with pytest.raises(ValueError, match=r"line 3 of `.*wide.csv` has more values than columns\. Put .* double quotes"):
        read_table(str(folder / "wide.csv"))
    for text, fault in (('{"image": ', r"is no JSON \("), ("[1]", r"is no JSON object\. Expected")):
        (folder / "broken.jsonl").write_text(f"{json.dumps(ROW)}\n{text}\n")
        with pytest.raises(ValueError, match=rf"`table`: line 2 of `.*broken.jsonl` {fault}"):
            read_table(str(folder / "broken.jsonl"))
