"""A torchmetric that brings one judge's scores of single pictures together from all ranks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from callbacks.scoring import functional as scores
from callbacks.scoring.judge import COLUMNS, DIVERSITY, Verdict


class Gathered(NamedTuple):
    """Scores of all pictures that any rank has seen; arrays, for torchmetrics would turn one picture into a scalar."""

    positions: NDArray[np.int64]  # (pictures,) ascending, each once
    values: NDArray[np.float32]  # (pictures, len(COLUMNS)), NaN where the judge says nothing


class PictureScores(Metric):
    """Keeps what one judge says about each picture; how diverse pictures are is told when all are together.

    All states are float32 vectors, as torchmetrics fills in for a rank without pictures.

    Args:
        siblings: a number for each picture of the run, the same for samples of one job.
    """

    full_state_update = False
    positions: list[Tensor]
    values: list[Tensor]
    generated: list[Tensor]

    def __init__(self, siblings: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.siblings = torch.tensor(siblings)
        for name in ("positions", "values", "generated"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, positions: Sequence[int], verdict: Verdict) -> None:
        """Add the judge's `verdict` on the pictures at `positions` of the run, below 2**24."""
        features = torch.empty(0) if verdict.generated is None else verdict.generated.detach()
        parts = (self.positions, torch.tensor(positions)), (self.values, verdict.table()), (self.generated, features)
        for state, part in parts:
            state.append(part.flatten().to(self.device, torch.float32))

    def compute(self) -> Gathered:
        """All scores in the order of the run; some rank must have seen a picture."""
        gathered = dim_zero_cat(self.positions)
        positions, first = np.unique(gathered.cpu().long().numpy(), return_index=True)
        order = torch.from_numpy(first)
        values = dim_zero_cat(self.values).cpu().reshape(len(gathered), -1)[order]
        generated = dim_zero_cat(self.generated).cpu().reshape(len(gathered), -1)[order]
        if generated.shape[1]:
            values[:, COLUMNS.index(DIVERSITY)] = _diversity(generated, self.siblings[torch.from_numpy(positions)])
        return Gathered(positions, values.numpy())


def _diversity(generated: Tensor, siblings: Tensor) -> Tensor:
    """One value a picture, as (pictures,) float32; NaN for those that have no sibling."""
    known, has_sibling = scores.diversity(generated, siblings)
    values = torch.full((len(generated),), torch.nan)
    values[has_sibling] = known.float()
    return values
