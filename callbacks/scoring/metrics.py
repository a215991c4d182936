"""torchmetrics of precomputed unit features: each keeps one score a picture, with the picture's reference.

They hold no network: a metric that holds CLIP would write CLIP into every checkpoint.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat
from typing_extensions import override

from callbacks.scoring import bootstrap as intervals
from callbacks.scoring import functional as scores
from callbacks.scoring.functional import UnitFeatures

_INDICES = 2**24  # whole numbers below are exact in float32


class Estimate(NamedTuple):
    """Mean over all pictures, its 95 % bootstrap interval over references, and the means by reference.

    Plain numbers and lists: torchmetrics would turn a vector of one element into a scalar tensor.
    """

    mean: float
    low: float
    high: float
    references: list[int]  # indices, ascending
    means: list[float]  # mean of each reference's pictures
    counts: list[int]  # pictures of each reference


class MeanOverReferences(Metric):
    """Mean of one value a picture, with a cluster-bootstrap interval over references.

    The same for any order, batch size or split over ranks: compute sorts, and adds in float64. All states are float32
    vectors, as torchmetrics fills in for a rank without pictures.
    """

    full_state_update = False
    is_differentiable = False
    values: list[Tensor]
    references: list[Tensor]

    def __init__(self, resamples: int = 2000, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resamples, self.seed = resamples, seed
        for name in ("values", "references"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, references: Tensor) -> None:
        """Add `values` (batch,) of pictures whose references have the indices `references` (batch,)."""
        if values.shape != references.shape:
            raise ValueError(
                f"`values` and `references` must both have shape (batch,), got {tuple(values.shape)} and "
                f"{tuple(references.shape)}: give one reference index for each picture."
            )
        if references.numel() and int(references.abs().max()) >= _INDICES:
            raise ValueError(
                f"`references` must be whole numbers below {_INDICES}, got {int(references.abs().max())}: number them "
                "from 0."
            )
        if not values.isfinite().all():
            raise ValueError("`values` must be finite, got NaN or infinities: leave such pictures out as failures.")
        for state, part in ((self.values, values), (self.references, references)):
            state.append(part.detach().to(self.device, torch.float32))

    def compute(self) -> Estimate:
        """Mean, interval and means by reference over everything that any rank has added."""
        means = intervals.reference_means(dim_zero_cat(self.values), dim_zero_cat(self.references))
        low, high = intervals.bootstrap_interval(means, resamples=self.resamples, seed=self.seed)
        return Estimate(intervals.image_mean(means), low, high, *(column.tolist() for column in means))


class FeatureScore(MeanOverReferences):
    """A score of `UnitFeatures`; a subclass says which."""

    def score(self, features: UnitFeatures) -> Tensor:
        """One value a picture, as (batch,)."""
        raise NotImplementedError

    def update(self, features: UnitFeatures, references: Tensor) -> None:  # type: ignore[override]
        """Score pictures whose references have the indices `references` (batch,)."""
        super().update(self.score(features).float(), references)


class TextAlignment(FeatureScore):
    """i.p: cosine of picture and prompt."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.text_alignment(features)


class ImageAlignment(FeatureScore):
    """i.s: cosine of picture and style reference."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.image_alignment(features)


class ContentAlignment(FeatureScore):
    """i.n: cosine of picture and the reference's content, over all pictures."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.content_alignment(features)


class StyleDifference(FeatureScore):
    """i.(s - n) over all pictures, leaked or not."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.difference_to_content(features)


class LeakRate(FeatureScore):
    """Share of pictures nearer to the reference's content than to their prompt."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.leaked(features)


class LeakRateAmong(FeatureScore):
    """Share of pictures nearer to the reference's content than to their prompt and to all of `contents`."""

    contents: Tensor

    def __init__(self, contents: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_buffer("contents", contents, persistent=False)  # (contents, dim) unit features

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.leaked_among(features, self.contents)


class Fidelity(FeatureScore):
    """Published fidelity: share of pictures not leaked."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return ~scores.leaked(features)


class StyleScore(FeatureScore):
    """Published style score: i.(s - n), 0 where leaked."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.style_score(features)


class LeakageScore(FeatureScore):
    """Published leakage score: (i.n)/(s.n), 1 where leaked; lower is better."""

    @override
    def score(self, features: UnitFeatures) -> Tensor:
        return scores.leakage_score(features)


FEATURE_SCORES: dict[str, type[FeatureScore]] = {
    "alignment/text": TextAlignment,
    "alignment/image": ImageAlignment,
    "alignment/content": ContentAlignment,
    "alignment/style_difference": StyleDifference,
    "leakage/leaked": LeakRate,
    "published/fidelity": Fidelity,
    "published/style_score": StyleScore,
    "published/leakage_score": LeakageScore,
}
"""Tag -> score of every judge that reads texts, wherever pictures are scored."""
