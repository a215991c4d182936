"""The datamodule of scoring: pictures that were generated before, each with its style reference."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.batches import Prediction, PredictionBatch, check_at_least
from datamodules.images import ImageFile
from datamodules.loaders import BatchLoader, batches_of, share_of_rank
from datamodules.prediction_folders import Found, PredictionBatches, read_folders
from datamodules.reading import files_of, lines_of, listed, parse_json, parse_rows, read_bytes, reading
from datamodules.shards import ReferenceLookup
from datamodules.vocabulary import is_text, shown

REFERENCES_WAY_OUT = (
    "Give as `references` the folders that the style references were read from: what was `test` or `root` of the "
    "datamodule, such as data/object_test, or data/miniature/object_test of `MiniatureReferences`."
)
COLUMNS = ("image", "reference", "prompt", "content")
TEXTS = ("style", "method", "content_image")
FURTHER = ("style", "method", "sample", "seed", "content_image")
TABLE_EXPECTED = (
    "a `.csv` (UTF-8, commas, names in the first line) or `.jsonl` (one object a line) with the columns "
    f"{', '.join(COLUMNS)}, and where known {', '.join(FURTHER)}; paths are absolute, or relative to the folder of "
    "the table"
)
# So a CSV marks a text that a spreadsheet would take for a formula; `scores.csv` does.
_MARKED = re.compile(r"^'(?='*[=+\-@\t\r\n＝＋－＠])")
_TOO_LARGE = 2**63


class Predictions(LightningDataModule):
    """Generated pictures that are to be scored, each once whatever the number of processes.

    They are named by `folders` with `references`, or by a `table`. Pictures that cannot be scored are reported
    once and left out; those that cannot be opened are among the failures of their batch.

    Args:
        folders: Folders that `maskst predict` wrote.
        references: Folders (or shards) that their references are found in by key: what `test` or `root` of the
            datamodule was, and `content_images`. A folder of StyleBench serves for its content images too.
        table: CSV or JSON lines with the columns image, reference, prompt, content (what the reference shows) and,
            where known, style, method, sample, seed, content_image. Paths are relative to the folder of the table.
        batch_size: Pictures scored at a time by each process.
        num_workers: Processes that open images; 0 opens them in the main process.

    Raises:
        ValueError: If not exactly one of `folders` and `table` is given, `references` is missing or beside a
            `table`, or a number is too small.
    """

    def __init__(
        self,
        folders: str | list[str] | None = None,
        references: str | list[str] | None = None,
        table: str | None = None,
        *,
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        given = ([names] if isinstance(names, str) else list(names or ()) for names in (folders, references))
        (self.folders, self.references), self.table = given, table
        _check_sources(self.folders, self.references, table)
        check_at_least(1, batch_size=batch_size)
        check_at_least(0, num_workers=num_workers)
        self.batch_size, self.num_workers = batch_size, num_workers
        self._only: set[str] | None = None

    @cached_property
    def found(self) -> Found:
        """All pictures, named but not opened, the same on all ranks.

        Raises:
            FileNotFoundError: If a folder or the table is missing.
            ValueError: If a folder is empty, the table is faulty, a picture comes twice, or none can be scored.
        """
        lookup = ReferenceLookup(self.references)
        found = read_folders(self.folders, lookup) if self.table is None else read_table(self.table)
        if (only := self._only) is not None:
            failures = {path: found.failures[path] for path in found.failures if path in only}
            found = found._replace(predictions=[p for p in found.predictions if p.path in only], failures=failures)
        total = len(found.predictions) + len(found.failures)
        faults = listed(f"{path}: {reason}" for path, reason in found.failures.items())
        if not found.predictions:
            way_out = f"Where the references are missing: {REFERENCES_WAY_OUT}"
            raise ValueError(f"None of the {total} pictures can be scored:\n  {faults}\n{way_out}")
        if faults:
            rank_zero_warn(f"{len(found.failures)} of {total} pictures cannot be scored and are left out:\n  {faults}")
        return found

    def keep_only(self, paths: Iterable[str | Path]) -> None:
        """Leaves out all pictures but those of `paths`; call it before they are looked for."""
        self._only = set(map(str, paths))

    @property
    def predictions(self) -> list[Prediction]:
        """The pictures that are scored."""
        return self.found.predictions

    @property
    def sources(self) -> list[str]:
        """Where the pictures come from: the folders, or the table."""
        return [os.path.realpath(source) for source in (self.folders if self.table is None else [self.table])]

    def setup(self, stage: str) -> None:
        """Finds all pictures, so that a fault is named before a judge is loaded."""
        _ = self.found

    def test_dataloader(self) -> BatchLoader[PredictionBatch]:
        """This rank's share of the batches, in order."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        # Whole batches, the same for any number of processes: features depend on their batch in the last bits.
        batches = batches_of(range(len(self.predictions)), self.batch_size)
        share = [batches[place] for place in share_of_rank(len(batches), rank, world_size)] or [[]]
        first = None if rank else share[0]
        return BatchLoader(PredictionBatches(self.found, self.sources, first), share, self.num_workers)


def read_table(table: str) -> Found:
    """The pictures that a table names, in its order; columns with any other names are not looked at.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is of another format, has no row, lacks columns, or has faulty rows: the line of each.
    """
    file = Path(table)
    lines, samples = dict[str, int](), Counter[tuple[str | None, ...]]()

    def parse(number: int, row: dict[str, Any]) -> Prediction:
        prediction = _prediction(file, row, samples)
        first = lines.setdefault(os.path.realpath(prediction.path), number)
        if first != number:
            raise ValueError(f"the image {row['image']!r} stands in line {first} already")
        return prediction

    predictions = parse_rows(file, "table", TABLE_EXPECTED, _rows(file), parse, "row")
    return Found(predictions, {}, {p.reference_path: ImageFile(Path(p.reference_path)) for p in predictions})


def _rows(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """The rows with the numbers of their lines, without values that are blank or null."""
    suffix = file.suffix.lower()
    if not file.is_file():
        raise FileNotFoundError(f"`table`: there is no file `{file}`. Expected {TABLE_EXPECTED}.")
    if suffix not in (".csv", ".jsonl"):
        raise ValueError(f"`table` was `{file}`, with the suffix {file.suffix!r}. Expected {TABLE_EXPECTED}.")
    if suffix == ".csv":
        read = _csv_rows(file)
    else:
        lines = lines_of(file, "table", f"Expected {TABLE_EXPECTED}.")
        read = parse_rows(file, "table", TABLE_EXPECTED, lines, lambda number, line: (number, parse_json(line)), "row")
    rows = [(line, {name: value for name, value in row.items() if value not in (None, "")}) for line, row in read]
    there = list(dict.fromkeys(name for _, row in rows for name in row))
    lacking = [name for name in COLUMNS if name not in there]
    if lacking and rows:
        told = f"nothing in the columns {', '.join(lacking)}; it has {', '.join(there)}"
        raise ValueError(f"`table`: `{file}` has {told}. Expected {TABLE_EXPECTED}.")
    return rows


def _csv_rows(file: Path) -> list[tuple[int, dict[str, Any]]]:
    with reading(file, "table", f"Expected {TABLE_EXPECTED}.", passing=ValueError):
        try:
            text = read_bytes(file).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"`table`: `{file}` is not UTF-8 ({error}). Save it as UTF-8.") from None
        rows, reader = [], csv.DictReader(StringIO(text, newline=""), skipinitialspace=True)
        for row in reader:
            if None in row:
                raise ValueError(
                    f"`table`: line {reader.line_num} of `{file}` has more values than columns. "
                    'Put a value that contains commas between double quotes: "a cat, sitting".'
                )
            values = {name.strip(): _MARKED.sub("", (value or "").strip()) for name, value in row.items()}
            rows.append((reader.line_num, values))
    return rows


def _prediction(file: Path, row: dict[str, Any], samples: Counter[tuple[str | None, ...]]) -> Prediction:
    """Raises ValueError, which says what is wrong with the row; `samples` counts the pictures of the same job."""
    texts = {name: _text(row, name) for name in (*COLUMNS, *TEXTS) if name in COLUMNS or name in row}
    paths = files_of(file.parent, row, ("image", "reference", "content_image"))
    keys = {name: Path(row[name]).with_suffix("").as_posix() for name in paths}
    places = {name: str(path) for name, path in paths.items()}
    method = texts.get("method", file.stem)
    job = (method, texts["reference"], texts["prompt"], texts.get("content_image"))
    samples[job] += 1
    sample = _whole(row, "sample") if "sample" in row else samples[job] - 1
    seed = _whole(row, "seed") if "seed" in row else None
    told = (method, keys["reference"], places["reference"], texts["content"], texts.get("style", ""), texts["prompt"])
    layout = keys.get("content_image"), places.get("content_image")
    return Prediction(places["image"], *told, sample, seed, None, {}, *layout)


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"no text as `{name}`")
    if not is_text(value):
        raise ValueError(f"`{name}` is {shown(value)!r}, which UTF-8 cannot write")
    return value


def _whole(row: dict[str, Any], name: str) -> int:
    try:
        value = int(str(row[name]))
    except ValueError:
        raise ValueError(f"`{name}` is {row[name]!r} and no whole number") from None
    if abs(value) >= _TOO_LARGE:
        raise ValueError(f"`{name}` is {value}, which no table of scores can hold")
    return value


def _check_sources(folders: list[str], references: list[str], table: str | None) -> None:
    if bool(folders) == (table is not None):
        raise ValueError(
            f"`folders` was {folders} and `table` was {table!r}. Expected one of the two: `folders` that "
            "`maskst predict` wrote, or a `table` that names pictures of any origin."
        )
    if folders and not references:
        raise ValueError(f"`folders` needs `references`, which is not given. {REFERENCES_WAY_OUT}")
    if references and not folders:
        what = "a `table` names the reference of each picture itself. Leave it out."
        raise ValueError(f"`references` was {references}, but {what}")
