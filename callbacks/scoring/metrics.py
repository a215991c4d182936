"""What a judge's unit features are scored by, and a torchmetric that brings the scores of all ranks together."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from callbacks.scoring import functional as scores
from callbacks.scoring.functional import UnitFeatures
from callbacks.scoring.judge import COLUMNS, Verdict

FEATURE_SCORES: dict[str, Callable[[UnitFeatures], Tensor]] = {
    "alignment/text": scores.text_alignment,
    "alignment/image": scores.image_alignment,
    "alignment/content": scores.content_alignment,
    "alignment/style_difference": scores.difference_to_content,
    "leakage/leaked": scores.leaked,
    "published/fidelity": scores.fidelity,
    "published/style_score": scores.style_score,
    "published/leakage_score": scores.leakage_score,
}
"""Tag -> score of every judge that reads texts, wherever pictures are scored."""


class Gathered(NamedTuple):
    """What a judge says about the pictures of all ranks, rank by rank, each in its order."""

    values: Tensor  # (pictures, len(COLUMNS)) float32, NaN where the judge says nothing
    generated: Tensor  # (pictures, dim) unit features, (pictures, 0) of a judge that has none


class PictureScores(Metric):
    """Keeps what one judge says about each picture.

    It holds no network: a metric that holds CLIP would write CLIP into every checkpoint. All states are float32
    vectors, as torchmetrics fills in for a rank without pictures.
    """

    full_state_update = False
    values: list[Tensor]
    generated: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("values", "generated"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, verdict: Verdict) -> None:
        """Add the judge's `verdict` on some pictures."""
        features = torch.empty(0) if verdict.generated is None else verdict.generated.detach()
        for state, part in ((self.values, verdict.table()), (self.generated, features)):
            state.append(part.flatten().to(self.device, torch.float32))

    def compute(self) -> Gathered:
        """What was said on all ranks; some rank must have seen a picture."""
        values = dim_zero_cat(self.values).cpu().reshape(-1, len(COLUMNS))
        return Gathered(values, dim_zero_cat(self.generated).cpu().reshape(len(values), -1))
