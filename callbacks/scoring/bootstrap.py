"""Means over pictures by reference, their bootstrap intervals, and paired differences between two methods.

Pictures of one reference are not independent, so every interval resamples whole references: they are drawn with
replacement and bring all their pictures along (cluster bootstrap; Davison and Hinkley, "Bootstrap Methods", 1997,
section 3.8).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_CELLS_IN_ERROR = 10


class ReferenceMeans(NamedTuple):
    """Mean and count of the pictures of each reference, ordered by the reference's index."""

    references: Tensor  # (references,) int64, ascending
    means: Tensor  # (references,) float64
    counts: Tensor  # (references,) int64


class Cell(NamedTuple):
    """Place of a picture in the grid that two methods must share to be compared in pairs."""

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


def bootstrap_interval(
    means: ReferenceMeans, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the mean over all pictures, resampling whole references.

    With one reference low = high = mean.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, such as 0.95 for a 95 % interval, got {level}.")
    brought = resampled_counts(means.counts, resamples, seed)
    resampled_means = brought @ means.means / brought.sum(dim=1)
    tail = (1 - level) / 2
    low, high = resampled_means.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def by_cell(cells: Sequence[Cell], values: Tensor) -> dict[Cell, float]:
    """One method's `values` (images,) by cell, for `paired_difference`.

    Raises:
        ValueError: two pictures stand in one cell, or there are not as many cells as values.
    """
    if values.shape != (len(cells),):
        raise ValueError(
            f"`values` must hold one value for each of the {len(cells)} `cells`, got shape {tuple(values.shape)}: "
            "give the cell of each picture that was scored."
        )
    found = dict(zip(cells, values.tolist(), strict=True))
    if len(found) < len(cells):
        [(twice, _)] = Counter(cells).most_common(1)
        raise ValueError(
            f"`cells`: two pictures have {_described(twice)}, so which of them to compare cannot be told: give each "
            "its own seed (or number of the sample), or score only one."
        )
    return found


def paired_difference(
    a: Mapping[Cell, float],
    b: Mapping[Cell, float],
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Mean of `a` less `b` over the pictures of one same grid, with its bootstrap interval over references.

    Both methods' pictures of a reference are kept together, so that what they share cancels.

    Raises:
        ValueError: a cell has a picture of one method only; `names` are those of the methods in the message.
    """
    _check_same_grid(a, b, names)
    places = {key: place for place, key in enumerate(sorted({cell.reference for cell in a}))}
    differences = torch.tensor([a[cell] - b[cell] for cell in a], dtype=torch.float64)
    means = reference_means(differences, torch.tensor([places[cell.reference] for cell in a]))
    low, high = bootstrap_interval(means, level, resamples, seed)
    return Difference(image_mean(means), low, high, len(differences), len(means.means))


def _check_same_grid(a: Mapping[Cell, float], b: Mapping[Cell, float], names: tuple[str, str]) -> None:
    cells = list(dict.fromkeys([*a, *b]))
    methods = zip(names, (a, b), strict=True)
    missing = [_missing(name, [cell for cell in cells if cell not in own]) for name, own in methods]
    if any(missing):
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must hold pictures of the same references, prompts and seeds to be "
            f"compared in pairs: {'; '.join(filter(None, missing))}. Generate what is missing, or leave it out of both."
        )


def _missing(name: str, cells: Sequence[Cell]) -> str:
    """What a method lacks, in words; nothing where it lacks nothing."""
    if not cells:
        return ""
    listed = ", ".join(f"({_described(cell)})" for cell in cells[:_CELLS_IN_ERROR])
    more = f" and {len(cells) - _CELLS_IN_ERROR} more" if len(cells) > _CELLS_IN_ERROR else ""
    return f"`{name}` lacks {len(cells)}: {listed}{more}"


def _described(cell: Cell) -> str:
    given = {name.replace("_", " "): value for name, value in cell._asdict().items() if value is not None}
    return ", ".join(f"{name} {value!r}" for name, value in given.items())
