"""torchmetrics of precomputed unit features: each keeps one score a picture, with the picture's reference.

They hold no network: a metric that holds CLIP would write CLIP into every checkpoint.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat
from typing_extensions import override

from callbacks import intervals, scores
from callbacks.scores import UnitFeatures

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
    left_out: int = 0  # pictures for which the score says nothing


class OverReferences(Metric):
    """Keeps the reference of each picture, and estimates means with a cluster-bootstrap interval over references.

    All states are float32 vectors, as torchmetrics fills in for a rank without pictures.
    """

    full_state_update = False
    is_differentiable = False
    references: list[Tensor]

    def __init__(self, resamples: int = 2000, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resamples, self.seed = resamples, seed
        self.add_state("references", default=[], dist_reduce_fx="cat")

    def _kept(self, values: Tensor) -> Tensor:
        return values.detach().to(self.device, torch.float32)

    def _estimate(self, values: Tensor, references: Tensor, left_out: int = 0) -> Estimate:
        means = intervals.reference_means(values, references)
        low, high = intervals.bootstrap_interval(means, resamples=self.resamples, seed=self.seed)
        indices, by_reference, counts = (column.tolist() for column in means)
        return Estimate(intervals.image_mean(means), low, high, indices, by_reference, counts, left_out)


class MeanOverReferences(OverReferences):
    """Mean of one value a picture, with a cluster-bootstrap interval over references.

    The same for any order, batch size or split over ranks: compute sorts, and adds in float64.
    """

    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, references: Tensor) -> None:
        """Add `values` (batch,) of pictures whose references have the indices `references` (batch,)."""
        if values.shape != references.shape:
            raise ValueError(
                f"`values` and `references` must both have shape (batch,), got {tuple(values.shape)} and "
                f"{tuple(references.shape)}: give one reference index for each picture."
            )
        self.values.append(self._kept(values))
        self.references.append(self._kept(_checked_indices("references", references)))

    def compute(self) -> Estimate:
        """Mean, interval and means by reference over everything that any rank has added."""
        return self._estimate(dim_zero_cat(self.values), dim_zero_cat(self.references))


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


class Agreement(MeanOverReferences):
    """Share of pictures whose labels, of content or of style, are what the classifier should see."""

    def update(self, predicted: Tensor, expected: Tensor, references: Tensor) -> None:  # type: ignore[override]
        """Add pictures by their labels (batch,), seen and wanted, and their references' indices (batch,)."""
        super().update(scores.agreement(predicted, expected).float(), references)


class Diversity(OverReferences):
    """Mean of 1 - cosine between the samples of one reference and prompt (and content image)."""

    generated: list[Tensor]
    groups: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("generated", default=[], dist_reduce_fx="cat")
        self.add_state("groups", default=[], dist_reduce_fx="cat")

    def update(self, features: UnitFeatures, references: Tensor, groups: Tensor) -> None:
        """Add pictures with their references' indices (batch,) and the numbers of their groups (batch,).

        A group's samples may be on several ranks, so its number must be the same on all.
        """
        if not len(features.generated) == len(references) == len(groups):
            raise ValueError(
                "`features`, `references` and `groups` must hold the same pictures, got "
                f"{len(features.generated)}, {len(references)} and {len(groups)}: give one reference index and one "
                "group number for each picture."
            )
        self.generated.append(self._kept(features.generated).flatten())
        self.references.append(self._kept(_checked_indices("references", references)))
        self.groups.append(self._kept(_checked_indices("groups", groups)))

    def compute(self) -> Estimate | None:
        """Estimate over the pictures that are not alone in their group, the others counted; None if all are."""
        references, groups = dim_zero_cat(self.references), dim_zero_cat(self.groups)
        generated = dim_zero_cat(self.generated).reshape(len(groups), -1)
        values, has_sibling = scores.diversity(generated, groups)
        left_out = len(groups) - len(values)
        return self._estimate(values, references.cpu()[has_sibling], left_out) if len(values) else None


def _checked_indices(name: str, indices: Tensor) -> Tensor:
    if indices.numel() and int(indices.abs().max()) >= _INDICES:
        raise ValueError(
            f"`{name}` must be whole numbers below {_INDICES}, got {int(indices.abs().max())}: number them from 0."
        )
    return indices
