"""The folder that scoring leaves: a table with a row a picture and judge, and what it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from callbacks.files import replacing
from callbacks.scoring.judge import COLUMNS
from lightning_modules.outputs import Prediction

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT = "scores.json"
_FORMULA = r"=+\-@\t\r\n＝＋－＠"
"""What a text begins with that a spreadsheet takes for a formula."""


def check_sources(folder: Path, sources: Sequence[str]) -> None:
    """Nothing, where the folder may be written: the scores in it, if any, are of the same sources or of some of them.

    Raises:
        ValueError: they are of others, which would be lost.
    """
    if not (folder / ABOUT).exists():
        return
    there = _sources(folder / ABOUT)
    if there is None or not set(there) <= set(sources):
        raise ValueError(
            f"`folder`: `{folder}` holds scores of {_listed(there)}, and these are of {_listed(sources)}. Nothing was "
            "changed there. Give another `folder`, or remove this one."
        )


def score_table(
    predictions: Sequence[Prediction], settings: Sequence[str], judges: Mapping[str, NDArray[Any]]
) -> pa.Table:
    """One row a picture and judge, in the order of the pictures, then of the judges.

    Args:
        predictions: the pictures.
        settings: label of each picture's setting.
        judges: name -> scores (pictures, len(COLUMNS)), NaN where the judge says nothing.
    """
    import numpy as np
    import pyarrow as pa

    each = [(prediction, setting) for prediction, setting in zip(predictions, settings, strict=True) for _ in judges]
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
    values = np.stack(list(judges.values()), axis=1).reshape(len(each), len(COLUMNS))
    return pa.table(
        {
            **{name: pa.array(column, pa.string()) for name, column in texts.items()},
            "sample": pa.array([p.sample for p, _ in each], pa.int64()),
            "seed": pa.array([p.seed for p, _ in each], pa.int64()),
            "content_image": pa.array([p.content_image for p, _ in each], pa.string()),
            "share_masked": pa.array([p.share_masked for p, _ in each], pa.float64()),
            "judge": pa.array(list(judges) * len(predictions), pa.string()),
            # In which NaN becomes null.
            **{tag: pa.array(values[:, i], pa.float32(), from_pandas=True) for i, tag in enumerate(COLUMNS)},
        }
    )


def write_scores(folder: Path, table: pa.Table, about: dict[str, Any]) -> None:
    """Replace `scores.csv`, `scores.parquet` and, last, `scores.json` by a table and what it is about."""
    from pyarrow.csv import write_csv
    from pyarrow.parquet import write_table

    # All three are written before one is replaced, the last to be opened first: `scores.json` at the end, and the old
    # one, which must not tell of another table than that beside it, is gone by then.
    with (
        replacing(folder / ABOUT) as told,
        replacing(folder / "scores.parquet") as parquet,
        replacing(folder / "scores.csv") as csv,
    ):
        told.write(f"{json.dumps(about, indent=1)}\n".encode())
        write_table(table, parquet)
        write_csv(without_formulas(table), csv)
        for file in (told, parquet, csv):
            file.flush()
        (folder / ABOUT).unlink(missing_ok=True)


def without_formulas(table: pa.Table) -> pa.Table:
    """The same for a spreadsheet: a text that it would run has one more `'` at its beginning."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            text = pc.replace_substring_regex(table[field.name], f"^('*[{_FORMULA}])", r"'\1")
            table = table.set_column(place, field, text)
    return table


def _sources(file: Path) -> list[str] | None:
    """The sources that the file tells of; None if it is no file of ours."""
    try:
        return list(json.loads(file.read_text(encoding="utf-8"))["sources"])
    except (ValueError, KeyError, TypeError):
        return None


def _listed(sources: Sequence[str] | None) -> str:
    return "something else" if sources is None else ", ".join(f"`{source}`" for source in sources)
