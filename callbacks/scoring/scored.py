"""The scores folder of one run of scoring, read back: estimates of each group of pictures, and paired differences."""

from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from callbacks.scoring import bootstrap as intervals
from callbacks.scoring.bootstrap import Cell, Difference
from callbacks.scoring.metrics import Estimate, MeanOverReferences
from callbacks.scoring.titles import title_of
from datamodules.reading import read_json, reading

KEYS = (
    *("path", "method", "setting", "reference", "reference_path", "content", "style", "prompt", "sample", "seed"),
    *("content_image", "share_masked", "judge"),
)
MASKED = "mask/share_masked"  # no judge's own: the same with every judge
_WAY_OUT = "Give a folder that `maskst test` wrote, or run `maskst test` again."


class Group(NamedTuple):
    """The pictures of one method in one setting."""

    method: str
    setting: str  # "strength 0.2, scale 0.4"; "" where the method has one setting
    varied: dict[str, Any]  # "condition.strength" -> 0.2: the settings in which the method's groups differ
    pictures: int
    settings: dict[str, Any]  # all that decided its pictures; empty where a table named them

    @property
    def title(self) -> str:
        """How a table calls it: "InstantStyle, strength 0.2, scale 0.4"."""
        return ", ".join(filter(None, (title_of(self.method), self.setting)))


class Scored:
    """All scores of a folder.

    Args:
        table: one row a picture and judge: the columns `KEYS`, then one column a score, null where the judge says
            nothing about the picture.
        about: the content of `scores.json`.
        folder: where both lie.
    """

    def __init__(self, table: pa.Table, about: dict[str, Any], folder: Path) -> None:
        self.table, self.about, self.folder = table, about, folder
        self.judges: list[str] = about["judges"]
        self.failures: dict[str, str] = about["failures"]
        self.groups = [Group(*(each[name] for name in Group._fields)) for each in about["groups"]]
        self._keys = {name: np.array(table[name].to_pylist(), dtype=object) for name in KEYS}
        self._scores = {name: _floats(table[name]) for name in table.column_names if name not in KEYS}
        self._scores[MASKED] = _floats(table["share_masked"])
        self._places = np.unique(self._keys["reference"].astype(str), return_inverse=True)[1]
        self._rows = _rows_by(self._keys["method"], self._keys["setting"], self._keys["judge"])
        self._estimates: dict[tuple[Any, ...], Estimate | None] = {}

    @classmethod
    def read(cls, folder: Path) -> "Scored":
        """Read `scores.parquet` and `scores.json`.

        Raises:
            FileNotFoundError: one of them is missing.
            ValueError: one of them cannot be read, is empty, or does not hold scores.
        """
        folder = Path(folder)
        for path in (folder / "scores.parquet", folder / "scores.json"):
            if not path.is_file():
                raise FileNotFoundError(f"`folder`: `{folder}` holds no `{path.name}`. {_WAY_OUT}")
        table, about = _read_table(folder / "scores.parquet"), _read_about(folder / "scores.json")
        with reading(folder, "folder", _WAY_OUT, passing=ValueError):
            _check(folder, table, about)
        with reading(folder, "folder", _WAY_OUT):
            return cls(table, about, folder)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One dict a picture and judge, in the order of the pictures, then of the judges."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    def tags(self, judge: str) -> list[str]:
        """The scores that `judge` says something about; the share masked stands with the first judge only."""
        mine = self._keys["judge"] == judge
        tags = [tag for tag, values in self._scores.items() if not np.isnan(values[mine]).all()]
        return [tag for tag in tags if tag != MASKED or judge == self.judges[0]]

    def seen(self, key: str) -> list[str]:
        """The values of a key such as "style" that any picture has, sorted."""
        return sorted(set(self._keys[key]) - {None})

    def values(
        self, group: Group, judge: str, tag: str, **where: str | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scores of the pictures of which `judge` says something, and the places of their references, both (pictures,).

        `where` chooses pictures by their keys, such as content="dog", prompt="A bench".
        """
        rows, values = self._found(group, judge, tag, where)
        known = ~np.isnan(values)
        return values[known], self._places[rows[known]]

    def estimate(self, group: Group, judge: str, tag: str, **where: str | None) -> Estimate | None:
        """Mean with its 95 % bootstrap interval over references; None if the judge says nothing about any picture."""
        key = (group.method, group.setting, judge, tag, *sorted(where.items()))
        if key not in self._estimates:
            self._estimates[key] = self._estimate(group, judge, tag, where)
        return self._estimates[key]

    def difference(self, a: Group, b: Group, judge: str, tag: str) -> Difference:
        """Mean of `a` less `b` over pictures of the same reference, prompt, seed (or sample) and content image.

        Raises:
            ValueError: the two do not share one grid, naming what is missing, or the judge says nothing about one.
        """
        names = (a.title, b.title)
        number = "seed" if self._has_seeds(a, judge) and self._has_seeds(b, judge) else "sample"
        gone = {Cell(*(each[name] for name in _cell_keys(number))) for each in self.about.get("unread", ())}
        mine, others = (self._by_cell(group, judge, tag, number, gone) for group in (a, b))
        for name, cells in zip(names, (mine, others), strict=True):
            if not cells:
                raise ValueError(
                    f"`{tag}`: the judge {judge!r} says nothing about the pictures of {name!r}. Choose another score "
                    "or judge."
                )
        return intervals.paired_difference(mine, others, names)

    def _estimate(self, group: Group, judge: str, tag: str, where: dict[str, str | None]) -> Estimate | None:
        values, places = self.values(group, judge, tag, **where)
        if not len(values):
            return None
        mean = MeanOverReferences(sync_on_compute=False)
        mean.update(torch.from_numpy(values), torch.from_numpy(places))
        estimate: Estimate = mean.compute()
        return estimate

    def _found(
        self, group: Group, judge: str, tag: str, where: dict[str, str | None]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows = self._rows.get((group.method, group.setting, judge), np.empty(0, dtype=np.int64))
        for name, value in where.items():
            rows = rows[self._keys[name][rows] == value]
        values = self._scores.get(tag)
        return rows, np.full(len(rows), np.nan) if values is None else values[rows]

    def _has_seeds(self, group: Group, judge: str) -> bool:
        return all(seed is not None for seed in self._keys["seed"][self._rows[group.method, group.setting, judge]])

    def _by_cell(self, group: Group, judge: str, tag: str, number: str, gone: set[Cell]) -> dict[Cell, float]:
        """Scores by cell, without those that no method is compared for, as some method's picture cannot be read."""
        rows, values = self._found(group, judge, tag, {})
        known = ~np.isnan(values)
        columns = (self._keys[name][rows[known]] for name in _cell_keys(number))
        cells = [Cell(*cell) for cell in zip(*columns, strict=True)]
        found = intervals.by_cell(cells, torch.from_numpy(values[known]))
        return {cell: value for cell, value in found.items() if cell not in gone}


def _cell_keys(number: str) -> tuple[str, ...]:
    return "reference", "prompt", number, "content_image"


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return values


def _rows_by(*columns: NDArray[np.object_]) -> dict[tuple[str, ...], NDArray[np.int64]]:
    """Numbers of the rows in which the columns have the same values."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(*columns, strict=True)):
        found[key].append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def _read_table(path: Path) -> pa.Table:
    with reading(path, "folder", _WAY_OUT):
        return pq.read_table(path)


def _read_about(path: Path) -> dict[str, Any]:
    about = read_json(path, "folder", _WAY_OUT)
    missing = [name for name in ("judges", "groups", "failures") if name not in about]
    if missing:
        raise ValueError(f"`folder`: `{path}` lacks {missing}, so scoring did not write it. {_WAY_OUT}")
    return about


def _check(folder: Path, table: pa.Table, about: dict[str, Any]) -> None:
    missing = [name for name in KEYS if name not in table.column_names]
    if missing:
        raise ValueError(
            f"`folder`: `{folder / 'scores.parquet'}` lacks the columns {missing}, so scoring did not write it. "
            f"{_WAY_OUT}"
        )
    if not table.num_rows:
        raise ValueError(f"`folder`: `{folder}` holds the scores of no picture. {_WAY_OUT}")
    told = {(group["method"], group["setting"]) for group in about["groups"]}
    found = set(zip(table["method"].to_pylist(), table["setting"].to_pylist(), strict=True))
    if told != found or len(told) < len(about["groups"]) or set(table["judge"].to_pylist()) != set(about["judges"]):
        raise ValueError(
            f"`folder`: `scores.parquet` and `scores.json` of `{folder}` tell of other groups or judges, so they are "
            f"not of one run. {_WAY_OUT}"
        )
