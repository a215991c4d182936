"""Tables of pictures of any origin."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.batches import Prediction
from datamodules.predictions import read_table
from tests.unit.datamodules.folders import write_image

ROW = {"image": "out/1.png", "reference": "refs/dog.jpg", "prompt": "A cat, sitting", "content": "dog"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("out/1.png", "out/2.png", "out/3.png", "refs/dog.jpg", "maps/A cat.v2.png"):
        write_image(tmp_path / name)
    return tmp_path


def write_csv(folder: Path, *rows: dict[str, Any]) -> str:
    with open(folder / "others.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return str(folder / "others.csv")


def write_lines(folder: Path, *rows: Any) -> str:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "others.jsonl").write_text(text, encoding="utf-8")
    return str(folder / "others.jsonl")


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
    assert (one.content_prompt, found.failures) == ("A dog", {})
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


@pytest.mark.parametrize(
    ("column", "values", "samples"), [("prompt", ("x", "y", "x"), [0, 0, 1]), ("method", ("a", "a", "b"), [0, 1, 0])]
)
def test_samples_are_numbered_within_the_same_job(
    folder: Path, column: str, values: tuple[str, ...], samples: list[int]
) -> None:
    rows = [ROW | {"image": f"out/{number}.png", column: value} for number, value in enumerate(values, start=1)]
    assert [p.sample for p in read_table(write_lines(folder, *rows)).predictions] == samples


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
        ({"seed": str(2**63)}, f"`seed` is {2**63}, which no table of scores can hold"),
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


def test_only_the_first_of_many_faults_are_listed_and_texts_of_another_type_are_faults(folder: Path) -> None:
    table = write_lines(folder, ROW, ROW | {"image": "out/2.png", "prompt": 7}, *[ROW] * 21)
    text = r"22 of 23 rows of .*\n  line 2: no text as `prompt`(\n.*){18}\n  line 21: .*\n  and 2 more\n"
    with pytest.raises(ValueError, match=text):
        read_table(table)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("german.csv", "image;reference;prompt;content\n1;2;A cat;dog\n", "nothing in the columns image, .*ce;pr"),
        ("few.csv", "image,reference,prompt\n1,2,A cat\n", "in the columns content; it has image, reference, p"),
        ("empty.csv", "\n", r"`table`: the file `.*empty.csv` has no row\. Expected a `.csv`"),
        ("empty.jsonl", "\n", r"`table`: the file `.*empty.jsonl` has no row\. Expected a `.csv`"),
        ("table.xlsx", "PK", r"`table` was `.*table.xlsx`, with the suffix '.xlsx'\. Expected a `.csv`"),
        ("latin.csv", b"image,style\n1.png,\xd6l\n", r"`.*latin.csv` is not UTF-8 .*Save it as UTF-8"),
        ("wide.csv", "image,prompt\n1,A\n2,A, B\n", "line 3 of `.*` has more values than columns. Put .* double"),
        ("cut.jsonl", f'{json.dumps(ROW)}\n{{"image": ', r"1 of 2 rows of `.*` are faulty:\n  line 2: not JSON \("),
        ("list.jsonl", f"{json.dumps(ROW)}\n[1]", r"1 of 2 rows of `.*` are faulty:\n  line 2: not an object"),
    ],
)
def test_tables_that_cannot_be_read_are_named(folder: Path, name: str, content: str | bytes, text: str) -> None:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=text):
        read_table(str(folder / name))
    missing = r"`table`: there is no file `none.csv`\. Expected a `.csv` .* or `.jsonl`"
    with pytest.raises(FileNotFoundError, match=missing):
        read_table("none.csv")
