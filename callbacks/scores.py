"""Scores of style transfer: pure functions of unit features from one named CLIP.

Symbols, each (batch, dim) with unit rows: i generated image, s style reference, n content prompt
("A <content>"), p text prompt. A row of zeros is allowed everywhere: its cosines are 0, never NaN.
Published scores: Zhu et al., "Less is More", ICLR 2025, arXiv 2502.07466.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# Below this a cosine between reference and content says nothing: dividing by it would give any number at all.
_SMALLEST_COSINE = 1e-6


class UnitFeatures(NamedTuple):
    """Unit features of generated pictures beside what they are compared with; i, s, n, p of the formulas."""

    generated: Tensor  # (batch, dim) i
    reference: Tensor  # (batch, dim) s
    content: Tensor  # (batch, dim) n
    prompt: Tensor  # (batch, dim) p


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of matching rows of two sets of unit features (batch, dim), as (batch,), in [-1, 1]."""
    if a.shape != b.shape:
        raise ValueError(
            "`a` and `b` must have the same shape (batch, dim) to be compared row by row, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}: take both from the same judge and repeat rows that "
            "several pictures share."
        )
    return (a * b).sum(dim=-1)


def text_alignment(features: UnitFeatures) -> Tensor:
    """i.p, as (batch,), in [-1, 1]."""
    return cosine(features.generated, features.prompt)


def image_alignment(features: UnitFeatures) -> Tensor:
    """i.s, as (batch,), in [-1, 1]."""
    return cosine(features.generated, features.reference)


def content_alignment(features: UnitFeatures) -> Tensor:
    """i.n, as (batch,), in [-1, 1]: how near each picture is to the reference's content, leaked or not."""
    return cosine(features.generated, features.content)


def leaked(features: UnitFeatures) -> Tensor:
    """i.n > i.p, as bool (batch,): the picture is nearer to the reference's content than to its prompt."""
    return content_alignment(features) > text_alignment(features)


def leaked_among(features: UnitFeatures, contents: Tensor) -> Tensor:
    """Whether n is nearer to the picture than p and than every other content, as bool (batch,).

    Stricter than `leaked`, which a picture of neither content passes by chance. `contents` (contents, dim)
    are the unit features of all content prompts; n may be among them.
    """
    nearest_content = (features.generated @ contents.T).amax(dim=-1)
    # n computed in a matrix product may differ from its row-wise cosine in the last bit: allow for that.
    is_nearest = content_alignment(features) >= nearest_content - 1e-6
    return leaked(features) & is_nearest


def style_score(features: UnitFeatures) -> Tensor:
    """Published style score, as (batch,): i.(s - n) where not leaked, 0 where leaked."""
    return difference_to_content(features).where(~leaked(features), 0.0)


def difference_to_content(features: UnitFeatures) -> Tensor:
    """i.(s - n), as (batch,): the style score of every picture, leaked ones too."""
    return cosine(features.generated, features.reference - features.content)


def leakage_score(features: UnitFeatures) -> Tensor:
    """Published leakage score, as (batch,), lower is better: (i.n)/(s.n) where not leaked, 1 where leaked.

    Where |s.n| < 1e-6 the ratio is undefined and counts as 1, as a leaked picture does.
    """
    reference_content = cosine(features.reference, features.content)
    defined = ~leaked(features) & (reference_content.abs() >= _SMALLEST_COSINE)
    ratio = content_alignment(features) / reference_content.where(defined, 1.0)
    return ratio.where(defined, 1.0)


class ReferenceMeans(NamedTuple):
    """Mean and count of the pictures of each reference, ordered by the reference's index."""

    references: Tensor  # (references,) int64, ascending
    means: Tensor  # (references,) float64
    counts: Tensor  # (references,) int64


def reference_means(values: Tensor, references: Tensor) -> ReferenceMeans:
    """Means of `values` (images,) by reference; `references` (images,) holds the references' indices.

    Independent of the order of the pictures, to the last bit.
    """
    if values.shape != references.shape or values.dim() != 1 or len(values) == 0:
        raise ValueError(
            "`values` and `references` must be vectors of one same length, at least 1 picture long, got "
            f"shapes {tuple(values.shape)} and {tuple(references.shape)}: score at least one batch first."
        )
    values, references = values.detach().cpu().double(), references.detach().cpu().long()
    order = torch.argsort(values, stable=True)
    indices, inverse, counts = references[order].unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(indices), dtype=torch.float64).index_add(0, inverse, values[order])
    return ReferenceMeans(indices, sums / counts, counts)


def image_mean(means: ReferenceMeans) -> float:
    """Mean over all pictures, in which each reference weighs as many pictures as it has."""
    return float((means.means * means.counts).sum() / means.counts.sum())


def bootstrap_interval(
    means: ReferenceMeans, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the mean over all pictures, resampling whole references.

    Pictures of one reference are not independent, so references are drawn with replacement and bring all
    their pictures along (cluster bootstrap; Davison and Hinkley, "Bootstrap Methods", 1997, section 3.8).
    The seed makes it repeatable. With one reference low = high = mean.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, such as 0.95 for a 95 % interval, got {level}.")
    size = len(means.references)
    drawn = torch.randint(size, (resamples, size), generator=torch.Generator().manual_seed(seed))
    sums = (means.means * means.counts)[drawn].sum(dim=1)
    resampled_means = sums / means.counts[drawn].sum(dim=1)
    tail = (1 - level) / 2
    low, high = resampled_means.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high
