"""Means over pictures by reference, their bootstrap intervals, and paired differences between two methods.

Pictures of one reference are not independent, so every interval resamples whole references: they are drawn with
replacement and bring all their pictures along (cluster bootstrap; Davison and Hinkley, "Bootstrap Methods", 1997,
section 3.8).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.reading import listed

_KEYS_IN_ERROR = 10
_ENDS = ((1 - 0.95) / 2, 1 - (1 - 0.95) / 2)  # quantiles of a 95 % interval


class ReferenceMeans(NamedTuple):
    """Mean and count of the pictures of each reference, ordered by the reference's index."""

    references: Tensor  # (references,) int64, ascending
    means: Tensor  # (references,) float64
    counts: Tensor  # (references,) int64


class Estimate(NamedTuple):
    """Mean over all pictures, its 95 % bootstrap interval over references, and the means by reference."""

    mean: float
    low: float
    high: float
    references: list[int]  # indices, ascending
    means: list[float]  # mean of each reference's pictures
    counts: list[int]  # pictures of each reference


class PictureKey(NamedTuple):
    """What two methods' pictures must have in common to be compared in pairs."""

    reference: str  # key of the style reference
    prompt: str
    seed: int | None = None  # or the sample's number, where no seed is known
    content_image: str | None = None  # key of the image whose layout the picture keeps


class Difference(NamedTuple):
    """Mean of paired differences with its bootstrap interval over references."""

    mean: float
    low: float
    high: float
    pairs: int  # of pictures
    references: int


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


def resampled_counts(counts: Tensor, resamples: int = 2000, seed: int = 0) -> Tensor:
    """Pictures that each reference brings to each resample, as (resamples, references) float64.

    `counts` (references,) are the pictures of each reference. The seed makes it repeatable, so that scores
    resampled with one seed stay paired.
    """
    size = len(counts)
    drawn = torch.randint(size, (resamples, size), generator=torch.Generator().manual_seed(seed))
    ones = torch.ones(drawn.shape, dtype=torch.float64)
    return torch.zeros_like(ones).scatter_add(1, drawn, ones) * counts.cpu()


def bootstrap_interval(means: ReferenceMeans, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval (low, high) of the mean over all pictures, resampling whole references.

    With one reference low = high = mean.
    """
    brought = resampled_counts(means.counts, resamples, seed)
    resampled_means = brought @ means.means / brought.sum(dim=1)
    low, high = resampled_means.quantile(torch.tensor(_ENDS, dtype=torch.float64)).tolist()
    return low, high


def estimate(values: Tensor, references: Tensor) -> Estimate:
    """Mean of `values` (images,) with its interval; `references` (images,) holds the references' indices.

    The same for any order of the pictures. Values count as float32, as which they are kept.

    Raises:
        ValueError: the shapes differ or are empty, or a value is not finite.
    """
    if not values.isfinite().all():
        raise ValueError("`values` must be finite, got NaN or infinities: leave such pictures out as failures.")
    means = reference_means(values.float(), references)
    return Estimate(image_mean(means), *bootstrap_interval(means), *(column.tolist() for column in means))


def by_key(keys: Sequence[PictureKey], values: Tensor) -> dict[PictureKey, float]:
    """One method's `values` (images,) by its key, for `paired_difference`.

    Raises:
        ValueError: two pictures have one key.
    """
    found = dict(zip(keys, values.tolist(), strict=True))
    if len(found) < len(keys):
        [(twice, _)] = Counter(keys).most_common(1)
        raise ValueError(
            f"`keys`: two pictures have {_described(twice)}, so which of them to compare cannot be told: give each "
            "its own seed (or number of the sample), or score only one."
        )
    return found


def paired_difference(
    a: Mapping[PictureKey, float],
    b: Mapping[PictureKey, float],
    names: tuple[str, str] = ("a", "b"),
    resamples: int = 2000,
) -> Difference:
    """Mean of `a` less `b` over the pictures of one same grid, with its bootstrap interval over references.

    Both methods' pictures of a reference are kept together, so that what they share cancels.

    Raises:
        ValueError: a key has a picture of one method only; `names` are those of the methods in the message.
    """
    keys = list(dict.fromkeys([*a, *b]))
    missing = {name: [key for key in keys if key not in own] for name, own in zip(names, (a, b), strict=True)}
    if any(missing.values()):
        texts = {name: [f"({_described(key)})" for key in gone] for name, gone in missing.items() if gone}
        told = (f"`{name}` lacks {len(gone)}: {listed(gone, _KEYS_IN_ERROR, ', ')}" for name, gone in texts.items())
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must hold pictures of the same references, prompts and seeds to be "
            f"compared in pairs: {'; '.join(told)}. Generate what is missing, or leave it out of both."
        )
    differences = torch.tensor([a[key] - b[key] for key in a], dtype=torch.float64)
    _, places = np.unique([key.reference for key in a], return_inverse=True)
    means = reference_means(differences, torch.from_numpy(places))
    low, high = bootstrap_interval(means, resamples)
    return Difference(image_mean(means), low, high, len(differences), len(means.means))


def _described(key: PictureKey) -> str:
    given = {name.replace("_", " "): value for name, value in key._asdict().items() if value is not None}
    return ", ".join(f"{name} {value!r}" for name, value in given.items())
