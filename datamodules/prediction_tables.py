"""Reads a table that names pictures of any origin, their references and prompts."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from datamodules.batches import Prediction
from datamodules.prediction_batches import Found, listed
from datamodules.reading import read_bytes, reading
from datamodules.references import ImageFile
from datamodules.vocabulary import is_text, shown

COLUMNS = ("image", "reference", "prompt", "content")
FURTHER = ("style", "method", "sample", "seed", "content_image")
EXPECTED = (
    "a `.csv` (UTF-8, commas, names in the first line) or `.jsonl` (one object a line) with the columns "
    f"{', '.join(COLUMNS)}, and where known {', '.join(FURTHER)}; paths are absolute, or relative to the folder of "
    "the table"
)
_MARKED = re.compile(r"^'(?='*[=+\-@\t\r\n＝＋－＠])")
"""With this a CSV marks a text that a spreadsheet would take for a formula; `scores.csv` does."""

_TOO_LARGE = 2**63
Row = dict[str, Any]


def read_table(table: str) -> Found:
    """The pictures that a table names, in its order; columns with any other names are not looked at.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is of another format, has no row, lacks columns, or has faulty rows: the line of each.
    """
    file = Path(table)
    rows = _rows(file)
    _check_columns(file, rows)
    found = Found([], {}, {})
    faults, lines, samples = [], dict[str, int](), Counter[tuple[str | None, ...]]()
    for number, row in rows.items():
        try:
            prediction = _prediction(file, row, samples)
            first = lines.setdefault(os.path.realpath(prediction.path), number)
            if first != number:
                raise ValueError(f"the image {row['image']!r} stands in line {first} already")
        except ValueError as fault:
            faults.append(f"line {number}: {fault}")
            continue
        found.predictions.append(prediction)
        found.references[prediction.reference_path] = ImageFile(Path(prediction.reference_path))
    if faults:
        raise ValueError(
            f"`table`: {len(faults)} of {len(rows)} rows of `{file}` are faulty:\n  {listed(faults)}\n"
            f"Expected {EXPECTED}. Correct these rows, or take them out."
        )
    return found


def _rows(file: Path) -> dict[int, Row]:
    """The rows by the numbers of their lines, without values that are blank or null."""
    if not file.is_file():
        raise FileNotFoundError(f"`table`: there is no file `{file}`. Expected {EXPECTED}.")
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if file.suffix.lower() not in readers:
        raise ValueError(f"`table` was `{file}`, with the suffix {file.suffix!r}. Expected {EXPECTED}.")
    with reading(file, "table", f"Expected {EXPECTED}.", passing=ValueError):
        try:
            text = read_bytes(file).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"`table`: `{file}` is not UTF-8 ({error}). Save it as UTF-8.") from None
        rows = readers[file.suffix.lower()](file, text)
        return {number: {name: value for name, value in row.items() if value not in (None, "")} for number, row in rows}


def _csv_rows(file: Path, text: str) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(StringIO(text, newline=""), skipinitialspace=True)
    for row in reader:
        if None in row:
            raise ValueError(
                f"`table`: line {reader.line_num} of `{file}` has more values than columns. "
                'Put a value that contains commas between double quotes: "a cat, sitting".'
            )
        values = {name: _MARKED.sub("", value.strip()) if value else None for name, value in row.items()}
        yield reader.line_num, {name.strip(): value for name, value in values.items()}


def _json_rows(file: Path, text: str) -> Iterator[tuple[int, Row]]:
    # Not `splitlines`, which also cuts at characters that JSON allows within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"`table`: line {number} of `{file}` is no JSON ({error}). Expected {EXPECTED}.") from None
        if not isinstance(row, dict):
            raise ValueError(f"`table`: line {number} of `{file}` is no JSON object. Expected {EXPECTED}.")
        yield number, row


def _check_columns(file: Path, rows: dict[int, Row]) -> None:
    if not rows:
        raise ValueError(f"`table`: `{file}` has no row. Expected {EXPECTED}.")
    there = list(dict.fromkeys(name for row in rows.values() for name in row))
    lacking = [name for name in COLUMNS if name not in there]
    if lacking:
        raise ValueError(
            f"`table`: `{file}` has nothing in the columns {', '.join(lacking)}; it has {', '.join(there)}. "
            f"Expected {EXPECTED}."
        )


def _prediction(file: Path, row: Row, samples: Counter[tuple[str | None, ...]]) -> Prediction:
    """Raises ValueError, which says what is wrong with the row; `samples` counts the pictures of the same job."""
    _, reference, prompt, content = (_text(row, name) for name in COLUMNS)
    content_image = _text(row, "content_image") if "content_image" in row else None
    paths = {
        name: file.parent / Path(row[name]).expanduser()
        for name in ("image", "reference", "content_image")
        if name in row
    }
    missing = [str(path) for path in paths.values() if not os.path.isfile(path)]  # also where it can be no path
    if missing:
        raise ValueError(f"there is no file {' and no file '.join(missing)}")
    method = _text(row, "method") if "method" in row else file.stem
    job = (method, reference, prompt, content_image)
    samples[job] += 1
    return Prediction(
        path=str(paths["image"]),
        method=method,
        reference_key=_key(reference),
        reference_path=str(paths["reference"]),
        content=content,
        style=_text(row, "style") if "style" in row else "",
        prompt=prompt,
        sample=_whole(row, "sample") if "sample" in row else samples[job] - 1,
        seed=_whole(row, "seed") if "seed" in row else None,
        share_masked=None,
        settings={},
        content_image=None if content_image is None else _key(content_image),
        content_image_path=None if content_image is None else str(paths["content_image"]),
    )


def _key(path: str) -> str:
    return Path(path).with_suffix("").as_posix()


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no text as `{name}`")
    if not is_text(value):
        raise ValueError(f"`{name}` is {shown(value)!r}, which UTF-8 cannot write")
    return value


def _whole(row: Row, name: str) -> int:
    try:
        value = int(str(row[name]))
    except ValueError:
        raise ValueError(f"`{name}` is {row[name]!r} and no whole number") from None
    if abs(value) >= _TOO_LARGE:
        raise ValueError(f"`{name}` is {value}, which no table of scores can hold")
    return value
