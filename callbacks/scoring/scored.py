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
    """All scores of a table, which lies in `folder`."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.about, self.folder = table, table.about, folder
        self.frame = frame = table.rows.to_pandas()
        self.judges: list[str] = self.about["judges"]
        self.failures: dict[str, str] = self.about["failures"]
        self.groups = [Group(*(each[name] for name in Group._fields)) for each in self.about["groups"]]
        self._keys = {name: np.array(table.rows[name].to_pylist(), dtype=object) for name in KEYS}
        self._scores = {name: frame[name].to_numpy(np.float64) for name in frame if name not in KEYS}
        self._scores[MASKED] = frame["share_masked"].to_numpy(np.float64)
        self._places = np.unique(self._keys["reference"].astype(str), return_inverse=True)[1]
        parts = [frame["method"], frame["setting"], frame["step"].fillna(_NONE), frame["judge"]]
        self._rows = frame.groupby(parts).indices
        self._estimates: dict[tuple[Any, ...], Estimate | None] = {}

    @classmethod
    def read(cls, folder: Path) -> "Scored":
        """The scores of a folder; errors are those of `read_table`."""
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
        rows, values = self._known(group, judge, tag, **where)
        return values, self._places[rows]

    def estimate(self, group: Group, judge: str, tag: str, **where: str | None) -> Estimate | None:
        """Mean with its 95 % bootstrap interval over references; None if the judge says nothing about any picture."""
        key = (*_place(group, judge), tag, *sorted(where.items()))
        if key not in self._estimates:
            values, places = map(torch.from_numpy, self.values(group, judge, tag, **where))
            self._estimates[key] = bootstrap.estimate(values, places) if len(values) else None
        return self._estimates[key]

    def difference(self, a: Group, b: Group, judge: str, tag: str) -> Difference:
        """Mean of `a` less `b` over pictures of the same reference, prompt, seed (or sample) and content image.

        Raises:
            ValueError: the two do not share one grid, naming what is missing, or the judge says nothing about one.
        """
        seeds = [seed for group in (a, b) for seed in self._keys["seed"][self._rows[_place(group, judge)]]]
        names = "reference", "prompt", "sample" if None in seeds else "seed", "content_image"
        # Some method's picture cannot be read: there none is compared.
        gone = {PictureKey(*(each[name] for name in names)) for each in self.about.get("unread", ())}
        found = []
        for group in (a, b):
            rows, values = self._known(group, judge, tag)
            keys = [PictureKey(*key) for key in zip(*(self._keys[name][rows] for name in names), strict=True)]
            scores = bootstrap.by_key(keys, torch.from_numpy(values))
            found.append({key: value for key, value in scores.items() if key not in gone})
            if not found[-1]:
                raise ValueError(
                    f"`{tag}`: the judge {judge!r} says nothing about the pictures of {group.title!r}. Choose another "
                    "score or judge."
                )
        mine, others = found
        return bootstrap.paired_difference(mine, others, (a.title, b.title))

    def _known(
        self, group: Group, judge: str, tag: str, **where: str | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows = self._rows.get(_place(group, judge), np.empty(0, dtype=np.int64))
        for name, value in where.items():
            rows = rows[self._keys[name][rows] == value]
        values = self._scores[tag][rows] if tag in self._scores else np.full(len(rows), np.nan)
        return rows[~np.isnan(values)], values[~np.isnan(values)]


def _place(group: Group, judge: str) -> tuple[Any, ...]:
    return group.method, group.setting, _NONE if group.step is None else group.step, judge
