"""Paired differences between methods: all of them drew the same prompts in the styles of the same references."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from callbacks.scoring.bootstrap import ReferenceMeans, bootstrap_interval, image_mean, resampled_counts
from scripts.reproduction.results import IMAGE, TEXT, Evaluation

RESAMPLES = 10_000
_LEVELS = 51  # over which an average over text alignments is taken
Numbers = NDArray[np.float64]


class Difference(NamedTuple):
    """Mean difference of two methods with its 95 % bootstrap interval over references."""

    mean: float
    low: float
    high: float
    references: int

    @property
    def verdict(self) -> str:
        """ "higher", "lower", or that these references cannot tell."""
        if self.low > 0:
            return "higher"
        if self.high < 0:
            return "lower"
        return f"no difference that {self.references} references can show"


class AtEqualText(NamedTuple):
    """Two training curves compared where they first reach the same text alignment."""

    levels: tuple[float, float]  # lowest and highest text alignment that both curves pass
    at_highest: Difference  # of image alignment, at the highest of them
    averaged: Difference  # of image alignment, averaged over all of them


def paired_difference(a: Evaluation, b: Evaluation, tag: str, seed: int = 0) -> Difference:
    """`a` less `b` in the score `tag`, resampling references and keeping both methods' pictures of each together.

    Percentile bootstrap of a mean in which each reference weighs as many pictures as it has (Efron and Tibshirani,
    "An Introduction to the Bootstrap", 1993).
    """
    per_reference = torch.from_numpy(_by_reference(a, tag) - _by_reference(b, tag))
    means = ReferenceMeans(torch.tensor(a.references), per_reference, torch.tensor(a.images_by_reference))
    low, high = bootstrap_interval(means, resamples=RESAMPLES, seed=seed)
    return Difference(image_mean(means), low, high, len(per_reference))


def at_equal_text(a: Sequence[Evaluation], b: Sequence[Evaluation], seed: int = 0) -> AtEqualText:
    """Image alignment of curve `a` less that of curve `b` at the same text alignment.

    Between evaluated steps curves run straight. In each resample of the references both curves, the levels and the
    places where the curves first reach them are found anew, so that the intervals hold their uncertainty too.
    """
    weights = _weights(a[0], seed)
    (text_a, image_a), (text_b, image_b) = (
        [weights @ np.array([_by_reference(each, tag) for each in curve]).T for tag in (TEXT, IMAGE)]
        for curve in (a, b)
    )
    highest = np.minimum(text_a.max(axis=1), text_b.max(axis=1))
    lowest = np.minimum(np.maximum(text_a[:, 0], text_b[:, 0]), highest)

    def gap(share: float) -> Numbers:
        level = lowest + share * (highest - lowest)
        return first_reached(text_a, image_a, level) - first_reached(text_b, image_b, level)

    size = weights.shape[1]
    mean_gap = np.mean([gap(share) for share in np.linspace(0, 1, _LEVELS)], axis=0)
    levels = float(lowest[0]), float(highest[0])
    return AtEqualText(levels, _difference(gap(1.0), size), _difference(mean_gap, size))


def first_reached(text: Numbers, image: Numbers, level: Numbers) -> Numbers:
    """Image alignment where each curve first reaches its text alignment `level`.

    `text` and `image` are (curves, steps), `level` is (curves,) and at most the maximum of its curve.
    """
    rows = np.arange(len(text))
    after = np.argmax(text >= level[:, None], axis=1)
    before = np.maximum(after - 1, 0)
    rise = text[rows, after] - text[rows, before]
    part = np.divide(level - text[rows, before], rise, out=np.ones_like(rise), where=rise > 0)
    first: Numbers = image[rows, before] + part * (image[rows, after] - image[rows, before])
    return first


def _weights(evaluation: Evaluation, seed: int) -> Numbers:
    """What each reference weighs in the mean over pictures: as evaluated in row 0, resampled in the others."""
    counts = np.array(evaluation.images_by_reference)
    images = np.vstack([counts, resampled_counts(torch.from_numpy(counts), RESAMPLES, seed).numpy()])
    weights: Numbers = images / images.sum(axis=1, keepdims=True)
    return weights


def _by_reference(evaluation: Evaluation, tag: str) -> Numbers:
    return np.array(evaluation.scores[tag].by_reference, dtype=np.float64)


def _difference(means: Numbers, references: int) -> Difference:
    """The first of `means` with the interval of the others."""
    low, high = np.quantile(means[1:], [0.025, 0.975])
    return Difference(float(means[0]), float(low), float(high), references)
