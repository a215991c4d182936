"""A torchmetric that brings what one judge says of pictures together from all ranks."""

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from callbacks.scoring.judge import COLUMNS, Verdict

# A process without pictures computes what all have gathered.
warnings.filterwarnings("ignore", "The ``compute`` method of metric")


class Said(NamedTuple):
    """What a judge says of the pictures of all ranks, rank by rank, on the CPU."""

    scores: Tensor  # (pictures, len(COLUMNS)) float32, NaN where it says nothing
    generated: Tensor  # (pictures, dim) unit features, (pictures, 0) where it has none


class Verdicts(Metric):
    """Keeps a judge's verdict on each picture.

    It holds no network: a metric that holds CLIP would write CLIP into every checkpoint. All states are float32
    vectors, as torchmetrics fills in for a rank without pictures.
    """

    full_state_update = False
    scores: list[Tensor]
    generated: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("scores", "generated"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, verdict: Verdict) -> None:
        """Add the verdict on some pictures, at least one."""
        features = torch.empty(0) if verdict.generated is None else verdict.generated.detach()
        for state, part in ((self.scores, verdict.table()), (self.generated, features)):
            state.append(part.flatten().to(self.device, torch.float32))

    def compute(self) -> Said:
        """What was said on all ranks, some of which must have seen a picture."""
        scores = dim_zero_cat(self.scores).cpu().reshape(-1, len(COLUMNS))
        return Said(scores, dim_zero_cat(self.generated).cpu().reshape(len(scores), -1))
