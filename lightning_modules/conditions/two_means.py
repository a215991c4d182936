"""Exact 2-means clustering of scalars."""

import numpy
import torch
from torch import Tensor

from lightning_modules.conditions.checks import check_finite

# Splits whose scores agree to this relative difference are equal: rounding does not choose between them.
_EQUAL_COST = 1e-12
# Their temporaries stay in the cache.
_ROWS_AT_A_TIME = 128


def two_means_threshold(values: Tensor) -> Tensor:
    """Largest member of the lower of the two clusters with the least sum of squares, row by row.

    The optimal clusters of scalars are intervals, so the best of the dim - 1 splits of the sorted row is the
    exact answer (Fisher 1958, "On grouping for maximum homogeneity"). With S_k the sum of the k smallest
    centred values, the sum of squares between the clusters is dim * S_k^2 / (k * (dim - k)), and the split
    with the largest is taken.

    - Equal values are never separated.
    - Among splits of equal cost the one with the smallest upper cluster is taken.
    - A constant row (also dim = 1) has no split: its threshold is its maximum.

    Args:
        values: ``(..., dim)``, finite, any floating-point dtype and device; computed in float64 on the CPU.

    Returns:
        The threshold ``(..., 1)`` in the dtype and on the device of ``values``.

    Raises:
        ValueError: ``values`` is not floating-point, not finite, or has no element to cluster.
    """
    if not values.is_floating_point() or values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            "`values` must be a floating-point tensor (..., dim) with dim >= 1, got "
            f"{values.dtype} {tuple(values.shape)}. Pass one row of scalars for each clustering."
        )
    rows = values.detach().reshape(-1, values.shape[-1]).cpu()
    thresholds = [_threshold(group) for group in rows.split(_ROWS_AT_A_TIME)]
    joined = torch.cat(thresholds) if thresholds else rows.new_zeros(0, 1)
    return joined.reshape(*values.shape[:-1], 1).to(values)


def _threshold(values: Tensor) -> Tensor:
    """The thresholds ``(rows, 1)``, in float64, of some rows ``(rows, dim)`` on the CPU."""
    x = _sort(values).double()  # the cast keeps the order, and sorting fewer bytes is faster
    check_finite("values", x[:, [0, -1]])  # where sorting puts infinities and NaN
    dim = x.shape[-1]
    k = torch.arange(1, dim + 1, dtype=torch.float64)
    centred = x - x[:, :1]  # keeps the differences of a row that lies far from zero
    centred -= centred.mean(dim=-1, keepdim=True)
    score = centred.cumsum_(dim=-1).div_(-(k * (dim - k)).sqrt())
    score[:, :-1].masked_fill_(x[:, 1:] == x[:, :-1], 0.0)  # would separate equal values
    score[:, -1] = 0.0  # k = dim is the row in one piece, which wins only where nothing can be separated
    best = score.amax(dim=-1, keepdim=True)
    low_count = (k.int() * (score >= best * (1 - _EQUAL_COST))).amax(dim=-1, keepdim=True)
    return x.gather(-1, low_count.long() - 1)


def two_means_keep_mask(products: Tensor) -> Tensor:
    """True for the lower of the two exact clusters of each row, False for the upper one, which is dropped.

    Ties, constant rows and errors as in :func:`two_means_threshold`.

    Args:
        products: ``(..., dim)``, finite.

    Returns:
        Bool ``(..., dim)``; all True in a constant row.
    """
    return products <= two_means_threshold(products)


def to_float64(values: Tensor) -> Tensor:
    """Copy to the CPU in float64, off the graph.

    Rows are a few thousand scalars. On the CPU the answer is the same bit for bit whatever the device,
    devices without float64 (MPS) are served, and so is ``torch.use_deterministic_algorithms``, which
    refuses ``cumsum`` on CUDA.
    """
    return values.detach().cpu().double()


def _sort(values: Tensor) -> Tensor:
    """Sort each row; numpy's vectorised sort is an order of magnitude faster than torch's."""
    if values.dtype == torch.bfloat16:  # numpy has no such type
        values = values.float()
    return torch.from_numpy(numpy.sort(values.numpy(), axis=-1))
