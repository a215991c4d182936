"""The one table of scores, a row a picture and judge, and what it is about: how it is made, kept and read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from callbacks.scoring.groups import groups_of
from callbacks.scoring.judge import COLUMNS
from datamodules.files import replacing
from datamodules.reading import reading
from lightning_modules.outputs import Prediction

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("scores.parquet", "scores.json", "scores.csv")
KEYS = (
    *("path", "method", "setting", "reference", "reference_path", "content", "style", "prompt", "sample", "seed"),
    *("content_image", "share_masked", "step", "judge"),
)
_TYPES = {"sample": "int64", "seed": "int64", "share_masked": "float64", "step": "int64"}  # others are texts
_FORMULA = r"=+\-@\t\r\n＝＋－＠"
"""What a text begins with that a spreadsheet takes for a formula."""
_WAY_OUT = "Give a folder that `maskst test` wrote, or run `maskst test` again."


class Table(NamedTuple):
    """Scores, and what they are about: judges, groups, what could not be scored, contents, sources."""

    rows: pa.Table
    """`KEYS`, then `COLUMNS`, null where the judge says nothing about the picture."""
    about: dict[str, Any]


def make_table(
    predictions: Sequence[Prediction], values: Mapping[str, Tensor], step: int | None = None, **about: Any
) -> Table:
    """The table of some pictures, in their order, then in that of the judges, and what else is told of them.

    `values` are judge -> scores (pictures, len(COLUMNS)), NaN where it says nothing.
    """
    import pyarrow as pa

    groups, numbers = groups_of(predictions, step)
    scores = {judge: told.tolist() for judge, told in values.items()}
    rows = [
        prediction._asdict()
        | {"reference": prediction.reference_key, "setting": groups[number].setting, "step": step, "judge": judge}
        | {tag: None if isnan(value) else value for tag, value in zip(COLUMNS, scores[judge][place], strict=True)}
        for place, (prediction, number) in enumerate(zip(predictions, numbers, strict=True))
        for judge in values
    ]
    schema = pa.schema([(name, _TYPES.get(name, "string")) for name in KEYS] + [(tag, "float32") for tag in COLUMNS])
    told = {"judges": list(values), "pictures": len(predictions), "groups": [group._asdict() for group in groups]}
    return Table(pa.Table.from_pylist(rows, schema), {**told, **about})


def joined(earlier: Table, new: Table) -> Table:
    """Both, without earlier rows of the same method and step by the same judge, or with other settings."""
    import pyarrow as pa

    about = json.loads(json.dumps(new.about))
    fresh, old = ({(each["method"], each["step"]): each for each in told["groups"]} for told in (about, earlier.about))
    stay = {place: group for place, group in old.items() if place not in fresh}
    # Those of which another judge's rows may stay.
    same = {place for place, group in old.items() if place in fresh and fresh[place]["settings"] == group["settings"]}
    columns = (earlier.rows[name].to_pylist() for name in ("method", "step", "judge"))
    is_kept = [
        (method, step) in stay or ((method, step) in same and judge not in about["judges"])
        for method, step, judge in zip(*columns, strict=True)
    ]
    rows = pa.concat_tables([earlier.rows.filter(pa.array(is_kept, pa.bool_())), new.rows])
    groups, judges = [*stay.values(), *about["groups"]], dict.fromkeys([*earlier.about["judges"], *about["judges"]])
    steps = {f"step {step}" for _, step in stay}
    failures = {name: why for name, why in earlier.about["failures"].items() if name.partition(":")[0] in steps}
    told = {
        "judges": [judge for judge in judges if judge in rows["judge"].unique().to_pylist()],
        "groups": groups,
        "pictures": sum(group["pictures"] for group in groups),
        "failures": {**failures, **about["failures"]},
        "cut_texts": {**earlier.about["cut_texts"], **about["cut_texts"]},
    }
    return Table(rows, {**earlier.about, **about, **told})


def write_table(folder: Path, table: Table) -> None:
    """Replace `scores.csv`, `scores.parquet` and, last, `scores.json`."""
    from pyarrow.csv import write_csv
    from pyarrow.parquet import write_table as write_parquet

    # Rows and what they are about replace each other as one file; the other two are copies for people.
    rows = table.rows.replace_schema_metadata({"about": json.dumps(table.about)})
    parquet, told, csv = (folder / name for name in NAMES)
    with replacing(told) as told_file, replacing(csv) as csv_file, replacing(parquet) as parquet_file:
        told_file.write(f"{json.dumps(table.about, indent=1)}\n".encode())
        write_csv(without_formulas(table.rows), csv_file)
        write_parquet(rows, parquet_file)
        for file in (told_file, csv_file, parquet_file):
            file.flush()
        for copy in (told, csv):  # what stands beside a new table must not tell of the old one
            copy.unlink(missing_ok=True)


def read_table(folder: Path) -> Table:
    """Read `scores.parquet`, in which stands what it is about.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it cannot be read, is empty, or does not hold scores.
    """
    import pyarrow.parquet as pq

    path = Path(folder) / NAMES[0]
    if not path.is_file():
        raise FileNotFoundError(f"`folder`: `{folder}` holds no `{path.name}`. {_WAY_OUT}")
    with reading(path, "folder", _WAY_OUT):
        rows = pq.read_table(path)
        about = json.loads((rows.schema.metadata or {}).get(b"about", b"{}"))
        missing = [name for name in KEYS if name not in rows.column_names]
        missing += [name for name in ("judges", "groups", "failures") if name not in about]
        if missing:
            raise ValueError(f"it lacks {missing}, so scoring did not write it")
        if not rows.num_rows:
            raise ValueError("it holds the scores of no picture")
        keys = ("method", "setting", "step")
        told = {tuple(group[name] for name in keys) for group in about["groups"]}
        found = set(zip(*(rows[name].to_pylist() for name in keys), strict=True))
        is_same = told == found and len(told) == len(about["groups"])
        if not is_same or set(rows["judge"].to_pylist()) != set(about["judges"]):
            raise ValueError(
                "its rows and what it tells of them are of other groups or judges, so they are not of one run"
            )
    return Table(rows, about)


def read_evaluations(folder: Path) -> Table | None:
    """The scores of earlier evaluations in the folder of a run; None where there are none.

    Raises:
        ValueError: they cannot be read, or are those of pictures that lie in folders, which would be lost.
    """
    if not (folder / NAMES[0]).exists():
        return None
    way_out = "Give another `--trainer.default_root_dir`, or move it away, for the scores to begin anew"
    try:
        table = read_table(folder)
    except ValueError as error:
        raise ValueError(f"`trainer.default_root_dir`: {error} {way_out}.") from error
    if "sources" in table.about:
        raise ValueError(
            f"`trainer.default_root_dir`: `{folder / NAMES[0]}` holds scores that `maskst test` wrote. {way_out}."
        )
    return table


def check_sources(folder: Path, sources: Sequence[str]) -> None:
    """Nothing, where the folder may be written: the scores in it, if any, are of the same sources or of some of them.

    Raises:
        ValueError: they are of others, which would be lost.
    """
    if not any((folder / name).exists() for name in NAMES[:2]):
        return
    try:
        there = list(read_table(folder).about["sources"])
    except (OSError, ValueError, KeyError, TypeError):  # no scores of ours
        there = []
    if not there or not set(there) <= set(sources):
        found, mine = (", ".join(f"`{source}`" for source in each) or "something else" for each in (there, sources))
        raise ValueError(
            f"`folder`: `{folder}` holds scores of {found}, and these are of {mine}. Nothing was changed there. Give "
            "another `folder`, or remove this one."
        )


def without_formulas(rows: pa.Table) -> pa.Table:
    """The same for a spreadsheet: a text that it would run has one more `'` at its beginning."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            text = pc.replace_substring_regex(rows[field.name], f"^('*[{_FORMULA}])", r"'\1")
            rows = rows.set_column(place, field, text)
    return rows
