"""A table of scores, read: estimates of each group of pictures, and paired differences."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from callbacks.scoring import bootstrap
from callbacks.scoring.bootstrap import Difference, Estimate, PictureKey
from callbacks.scoring.groups import Group
from callbacks.scoring.table import KEYS, Table, read_table

MASKED = "mask/share_masked"  # no judge's own: the same with every judge
_NONE = -1  # the step of a group that has none


class Scored:
    """All scores of a table.

    Args:
        table: what `make_table` gives.
        folder: where it lies.
    """

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.about, self.folder = table, table.about, folder
        self.frame = table.rows.to_pandas()
        self.judges: list[str] = self.about["judges"]
        self.failures: dict[str, str] = self.about["failures"]
        self.groups = [Group(*(each[name] for name in Group._fields)) for each in self.about["groups"]]
        self._keys = {name: np.array(table.rows[name].to_pylist(), dtype=object) for name in KEYS}
        self._scores = {name: self.frame[name].to_numpy(np.float64) for name in self.frame if name not in KEYS}
        self._scores[MASKED] = self.frame["share_masked"].to_numpy(np.float64)
        self._places = np.unique(self._keys["reference"].astype(str), return_inverse=True)[1]
        parts = [self.frame["method"], self.frame["setting"], self.frame["step"].fillna(_NONE), self.frame["judge"]]
        self._rows = self.frame.groupby(parts).indices
        self._estimates: dict[tuple[Any, ...], Estimate | None] = {}

    @classmethod
    def read(cls, folder: Path) -> "Scored":
        """Read the scores of a folder.

        Raises:
            FileNotFoundError: there are none.
            ValueError: they cannot be read, or are none.
        """
        return cls(read_table(folder), Path(folder))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One dict a picture and judge, in the order of the pictures, then of the judges."""
        return self.table.rows.to_pylist()

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
        key = (*_place(group, judge), tag, *sorted(where.items()))
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
        gone = {PictureKey(*(each[name] for name in _names(number))) for each in self.about.get("unread", ())}
        mine, others = (self._by_key(group, judge, tag, number, gone) for group in (a, b))
        for name, keys in zip(names, (mine, others), strict=True):
            if not keys:
                raise ValueError(
                    f"`{tag}`: the judge {judge!r} says nothing about the pictures of {name!r}. Choose another score "
                    "or judge."
                )
        return bootstrap.paired_difference(mine, others, names)

    def _estimate(self, group: Group, judge: str, tag: str, where: dict[str, str | None]) -> Estimate | None:
        values, places = self.values(group, judge, tag, **where)
        if not len(values):
            return None
        return bootstrap.estimate(torch.from_numpy(values), torch.from_numpy(places))

    def _found(
        self, group: Group, judge: str, tag: str, where: dict[str, str | None]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows = self._rows.get(_place(group, judge), np.empty(0, dtype=np.int64))
        for name, value in where.items():
            rows = rows[self._keys[name][rows] == value]
        values = self._scores.get(tag)
        return rows, np.full(len(rows), np.nan) if values is None else values[rows]

    def _has_seeds(self, group: Group, judge: str) -> bool:
        return all(seed is not None for seed in self._keys["seed"][self._rows[_place(group, judge)]])

    def _by_key(
        self, group: Group, judge: str, tag: str, number: str, gone: set[PictureKey]
    ) -> dict[PictureKey, float]:
        """Scores by key, without those that no method is compared for, as some method's picture cannot be read."""
        rows, values = self._found(group, judge, tag, {})
        known = ~np.isnan(values)
        columns = (self._keys[name][rows[known]] for name in _names(number))
        keys = [PictureKey(*key) for key in zip(*columns, strict=True)]
        found = bootstrap.by_key(keys, torch.from_numpy(values[known]))
        return {key: value for key, value in found.items() if key not in gone}


def _place(group: Group, judge: str) -> tuple[Any, ...]:
    return group.method, group.setting, _NONE if group.step is None else group.step, judge


def _names(number: str) -> tuple[str, ...]:
    return "reference", "prompt", number, "content_image"
