"""Masking (arXiv 2502.07466): what the image feature shares with the content word is set to zero."""

from abc import abstractmethod
from typing import Literal

import numpy
import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from lightning_modules.conditions.base import Condition, Conditioned

# Splits whose scores agree to this relative difference are equal: rounding does not choose between them.
_EQUAL_COST = 1e-12
# Their temporaries stay in the cache.
_ROWS_AT_A_TIME = 128


def feature_products(image_feature: Tensor, text_feature: Tensor) -> Tensor:
    """Element-wise products q = e_hat * t_hat ``(..., dim)`` of the unit vectors, zero where a row is zero.

    In float64 on the CPU, off the graph: there the mask is the same bit for bit whatever the device, also for those
    without float64 (MPS) and under ``torch.use_deterministic_algorithms``, which refuses ``cumsum`` on CUDA.
    """
    e, t = (feature.detach().cpu().double() for feature in (image_feature, text_feature))
    return functional.normalize(e, dim=-1) * functional.normalize(t, dim=-1)


def two_means_threshold(values: Tensor) -> Tensor:
    """Largest member ``(..., 1)`` of the lower of the two clusters with the least sum of squares, of each row.

    The optimal clusters of scalars are intervals, so the best of the dim - 1 splits of the sorted row is the
    exact answer (Fisher 1958, "On grouping for maximum homogeneity"). With S_k the sum of the k smallest
    centred values, the sum of squares between the clusters is dim * S_k^2 / (k * (dim - k)), and the split
    with the largest is taken. Equal values are never separated; among splits of equal cost the one with the smallest
    upper cluster is taken; a constant row (also dim = 1) has no split, and its maximum as the threshold.

    Raises ValueError unless ``values`` ``(..., dim)`` are floating-point, finite and at least one a row.
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
    _check_finite("values", x[:, [0, -1]])  # where sorting puts infinities and NaN
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
    """True for the lower of the two exact clusters of each row ``(..., dim)``, False for the upper one."""
    return products <= two_means_threshold(products)


def _sort(values: Tensor) -> Tensor:
    """Sort each row; numpy's vectorised sort is an order of magnitude faster than torch's."""
    if values.dtype == torch.bfloat16:  # numpy has no such type
        values = values.float()
    return torch.from_numpy(numpy.sort(values.numpy(), axis=-1))


class ProductMasking(Condition):
    """v = e where kept, 0 where dropped; the products q = e_hat * t_hat of each row decide.

    Each level has its own mask, against the text. A zero image feature stays zero and loses nothing.
    """

    @abstractmethod
    def keep_mask(self, products: Tensor) -> Tensor:
        """Choose the elements to keep from q ``(..., dim)``, each row by itself; all of a constant row."""

    @override
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        text = self.text_per_level(e, t)
        _check_finite("image_feature", e)
        _check_finite("text_feature", text)
        keep_mask = self.keep_mask(feature_products(e, text)).to(e.device)
        return Conditioned(e.masked_fill(~keep_mask, 0.0), keep_mask, (~keep_mask).float().mean(dim=-1))


class Masking(ProductMasking):
    """Drops the cluster with the largest centre of the products q.

    With more than two clusters a row of no more distinct values loses its largest value.

    Args:
        n_clusters: 2 is solved exactly, without a seed; more are left to scikit-learn's KMeans; fewer: ValueError.
        n_init: initialisations of KMeans, not read for 2 clusters. Ten often miss the best clusters.
        seed: of KMeans, not read for 2 clusters; the same in each row, so that the batch does not matter.
    """

    name = "masking"

    def __init__(self, n_clusters: int = 2, n_init: int = 50, seed: int = 0) -> None:
        super().__init__()
        if n_clusters < 2:
            raise ValueError(
                f"`n_clusters` must be 2 or more, got {n_clusters}. Use 2 for the published method; "
                "choose IPAdapter to mask nothing."
            )
        if not 0 <= seed < 2**32:
            raise ValueError(f"`seed` must be from 0 to {2**32 - 1}, got {seed}.")
        self.n_clusters, self.n_init, self.seed = n_clusters, n_init, seed
        self._settings = ("n_clusters",) if n_clusters == 2 else ("n_clusters", "n_init", "seed")

    @override
    def keep_mask(self, products: Tensor) -> Tensor:
        if self.n_clusters == 2:
            return two_means_keep_mask(products)
        rows = products.reshape(-1, products.shape[-1]).sort(dim=-1).values
        thresholds = torch.stack([self._below_top_cluster(row) for row in rows])
        return products <= thresholds.reshape(*products.shape[:-1], 1)

    def _below_top_cluster(self, sorted_row: Tensor) -> Tensor:
        """Largest member outside the topmost cluster; the maximum of a constant row."""
        from sklearn.cluster import KMeans

        distinct = torch.unique_consecutive(sorted_row)
        if len(distinct) <= self.n_clusters:
            return distinct[max(len(distinct) - 2, 0)]
        kmeans = KMeans(self.n_clusters, n_init=self.n_init, tol=0, random_state=self.seed)  # tol: run to convergence
        labels = kmeans.fit_predict(sorted_row[:, None].numpy())
        return sorted_row[torch.from_numpy(labels != labels[-1])].max()


class QuantileMasking(ProductMasking):
    """Drops the products q above their theta-quantile: q > quantile(q, theta), strictly, with linear interpolation.

    Args:
        theta: in (0, 1), else ValueError. 0.7 drops 307 of 1024 elements, 0.8 drops 256 of 1280.
        drop: "high" is the method; "low", which drops as many at the mirrored end, is its ablation; else ValueError.
    """

    name = "quantile_masking"
    _settings = "theta", "drop"

    def __init__(self, theta: float = 0.7, drop: Literal["high", "low"] = "high") -> None:
        super().__init__()
        if not 0 < theta < 1:
            raise ValueError(
                f"`theta` must be in (0, 1), the share of elements to keep, got {theta}. Use 0.7 on Stable "
                "Diffusion 1.5 or 0.8 on SDXL; choose IPAdapter to mask nothing, Masking for 2-means."
            )
        if drop not in ("high", "low"):
            raise ValueError(f'`drop` must be "high" or "low", got {drop!r}. Use "high" for the published method.')
        self.theta = theta
        self.drop: Literal["high", "low"] = drop

    @override
    def keep_mask(self, products: Tensor) -> Tensor:
        q = products if self.drop == "high" else -products
        return q <= torch.quantile(q, self.theta, dim=-1, keepdim=True)


def _check_finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError where ``tensor`` holds NaN or infinity, which a mask would hide."""
    if not tensor.isfinite().all():
        raise ValueError(
            f"`{name}` must be finite, got NaN or infinity. "
            "Encode in float32 (or bfloat16): float16 overflows in some encoders."
        )
