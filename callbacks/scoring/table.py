"""The one table of scores, a row a picture and judge, and what it is about: how it is made, kept and read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from callbacks.files import replacing
from callbacks.scoring.groups import groups_of
from callbacks.scoring.judge import COLUMNS
from datamodules.reading import reading
from lightning_modules.outputs import Prediction

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("scores.parquet", "scores.json", "scores.csv")
KEYS = (
    *("path", "method", "setting", "reference", "reference_path", "content", "style", "prompt", "sample", "seed"),
    *("content_image", "share_masked", "step", "judge"),
)
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
    """The table of some pictures, in their order, then in that of the judges.

    Args:
        predictions: the pictures.
        values: judge -> scores (pictures, len(COLUMNS)), NaN where it says nothing.
        step: training step that the pictures are of.
        about: what else is told of them.
    """
    import numpy as np
    import pyarrow as pa

    groups, numbers = groups_of(predictions, step)
    each = [(one, groups[number].setting) for one, number in zip(predictions, numbers, strict=True) for _ in values]
    texts = {
        "path": [p.path for p, _ in each],
        "method": [p.method for p, _ in each],
        "setting": [setting for _, setting in each],
        "reference": [p.reference_key for p, _ in each],
        "reference_path": [p.reference_path for p, _ in each],
        "content": [p.content for p, _ in each],
        "style": [p.style for p, _ in each],
        "prompt": [p.prompt for p, _ in each],
    }
    scores = np.stack([each.numpy() for each in values.values()], axis=1).reshape(len(each), len(COLUMNS))
    columns = {
        **{name: pa.array(column, pa.string()) for name, column in texts.items()},
        "sample": pa.array([p.sample for p, _ in each], pa.int64()),
        "seed": pa.array([p.seed for p, _ in each], pa.int64()),
        "content_image": pa.array([p.content_image for p, _ in each], pa.string()),
        "share_masked": pa.array([p.share_masked for p, _ in each], pa.float64()),
        "step": pa.array([step] * len(each), pa.int64()),
        "judge": pa.array(list(values) * len(predictions), pa.string()),
        # In which NaN becomes null.
        **{tag: pa.array(scores[:, place], pa.float32(), from_pandas=True) for place, tag in enumerate(COLUMNS)},
    }
    told = {"judges": list(values), "pictures": len(predictions), "groups": [group._asdict() for group in groups]}
    return Table(pa.table(columns), {**told, **about})


def joined(earlier: Table, new: Table) -> Table:
    """Both, without the earlier rows of which there are new ones: of the same method and step, by the same judge.

    Earlier rows of the same method and step that were made with other settings go as well.
    """
    import pyarrow as pa

    about = json.loads(json.dumps(new.about))
    fresh = {(group["method"], group["step"]): group["settings"] for group in about["groups"]}
    old = {(group["method"], group["step"]): group for group in earlier.about["groups"]}
    replaced = {place for place, group in old.items() if fresh.get(place, group["settings"]) != group["settings"]}
    columns = (earlier.rows[name].to_pylist() for name in ("method", "step", "judge"))
    is_kept = [
        (method, step) not in replaced and not ((method, step) in fresh and judge in about["judges"])
        for method, step, judge in zip(*columns, strict=True)
    ]
    rows = pa.concat_tables([earlier.rows.filter(pa.array(is_kept, pa.bool_())), new.rows])
    groups = [*(group for place, group in old.items() if place not in fresh), *about["groups"]]
    steps = {f"step {group['step']}" for place, group in old.items() if place not in fresh}
    failures = {name: why for name, why in earlier.about["failures"].items() if name.partition(":")[0] in steps}
    judges = dict.fromkeys([*earlier.about["judges"], *about["judges"]])
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
        _check(rows, about)
    return Table(rows, about)


def _check(rows: pa.Table, about: dict[str, Any]) -> None:
    told = {tuple(group[name] for name in ("method", "setting", "step")) for group in about["groups"]}
    found = set(zip(*(rows[name].to_pylist() for name in ("method", "setting", "step")), strict=True))
    is_same = told == found and len(told) == len(about["groups"])
    if not is_same or set(rows["judge"].to_pylist()) != set(about["judges"]):
        raise ValueError("its rows and what it tells of them are of other groups or judges, so they are not of one run")


def check_sources(folder: Path, sources: Sequence[str]) -> None:
    """Nothing, where the folder may be written: the scores in it, if any, are of the same sources or of some of them.

    Raises:
        ValueError: they are of others, which would be lost.
    """
    there = _sources(folder)
    if there is not None and (not there or not set(there) <= set(sources)):
        raise ValueError(
            f"`folder`: `{folder}` holds scores of {_named(there)}, and these are of {_named(sources)}. Nothing was "
            "changed there. Give another `folder`, or remove this one."
        )


def _sources(folder: Path) -> list[str] | None:
    """The sources of the scores in a folder; none where they are no scores of ours, None where there are none."""
    if not any((folder / name).exists() for name in NAMES[:2]):
        return None
    try:
        return list(read_table(folder).about["sources"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _named(sources: Sequence[str]) -> str:
    return ", ".join(f"`{source}`" for source in sources) or "something else"


def without_formulas(rows: pa.Table) -> pa.Table:
    """The same for a spreadsheet: a text that it would run has one more `'` at its beginning."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            text = pc.replace_substring_regex(rows[field.name], f"^('*[{_FORMULA}])", r"'\1")
            rows = rows.set_column(place, field, text)
    return rows
