"""Masking (arXiv 2502.07466): what the image feature shares with the content word is set to zero."""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.checks import check_finite, check_image_feature, text_feature_per_level
from lightning_modules.conditions.two_means import to_float64, two_means_keep_mask


def feature_products(image_feature: Tensor, text_feature: Tensor) -> Tensor:
    """Element-wise products q = e_hat * t_hat of the unit vectors, in float64; zero where a row is zero.

    Args:
        image_feature: e ``(..., dim)``.
        text_feature: t, of a shape that broadcasts to that of e.

    Returns:
        q ``(..., dim)``, on the CPU, where the mask is the same bit for bit whatever the device.
    """
    e_hat = functional.normalize(to_float64(image_feature), dim=-1)
    t_hat = functional.normalize(to_float64(text_feature), dim=-1)
    return e_hat * t_hat


def quantile_keep_mask(products: Tensor, theta: float, drop: Literal["high", "low"] = "high") -> Tensor:
    """True except where q > quantile(q, theta), strictly and with linear interpolation, row by row.

    Args:
        products: q ``(..., dim)``.
        theta: in (0, 1); the larger, the fewer are dropped. 0.7 drops 307 of 1024 distinct elements.
        drop: "high" as above; "low" is the mirror image, which drops as many at the other end of the row.

    Returns:
        Bool ``(..., dim)``; all True in a constant row.
    """
    q = products if drop == "high" else -products
    return q <= torch.quantile(q, theta, dim=-1, keepdim=True)


def top_cluster_keep_mask(products: Tensor, n_clusters: int, n_init: int, seed: int) -> Tensor:
    """True except in the topmost of ``n_clusters`` clusters found by scikit-learn's KMeans in each row.

    A row with no more distinct values than ``n_clusters`` loses its largest value, a constant row nothing.

    Args:
        products: q ``(..., dim)``.
        n_clusters: clusters of each row, 2 or more.
        n_init: initialisations, of which the best is taken.
        seed: of the initialisations, the same in each row: the answer depends neither on the batch nor on the
            order of the elements.

    Returns:
        Bool ``(..., dim)`` on the device of ``products``.
    """
    rows = products.reshape(-1, products.shape[-1])
    thresholds = [_below_top_cluster(row, n_clusters, n_init, seed) for row in rows.cpu().sort(dim=-1).values]
    return products <= torch.stack(thresholds).reshape(*products.shape[:-1], 1).to(products)


def _below_top_cluster(sorted_row: Tensor, n_clusters: int, n_init: int, seed: int) -> Tensor:
    """Largest member outside the topmost cluster; the maximum of a constant row."""
    from sklearn.cluster import KMeans

    distinct = torch.unique_consecutive(sorted_row)
    if len(distinct) <= n_clusters:
        second_largest: Tensor = distinct[max(len(distinct) - 2, 0)]
        return second_largest
    kmeans = KMeans(n_clusters, n_init=n_init, tol=0, random_state=seed)  # tol: run to convergence
    labels = kmeans.fit_predict(sorted_row[:, None].numpy())
    return sorted_row[torch.from_numpy(labels != labels[-1])].max()


class ProductMasking(Condition):
    """v = e where kept, 0 where dropped; the products q = e_hat * t_hat of each row decide.

    Each level has its own mask, against the text. A zero image feature stays zero and loses nothing.
    """

    @abstractmethod
    def keep_mask(self, products: Tensor) -> Tensor:
        """Choose the elements to keep from q ``(..., dim)``, each row by itself."""

    @override
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Mask every level against the text; see :meth:`Condition.forward`."""
        check_image_feature(image_feature)
        text = text_feature_per_level(image_feature, text_feature, type(self).__name__)
        check_finite("image_feature", image_feature)
        check_finite("text_feature", text)
        keep_mask = self.keep_mask(feature_products(image_feature, text)).to(image_feature.device)
        share_masked = (~keep_mask).float().mean(dim=-1)
        return Conditioned(image_feature.masked_fill(~keep_mask, 0.0), keep_mask, share_masked)


class Masking(ProductMasking):
    """Drops the cluster with the largest centre of the products q.

    Args:
        n_clusters: 2 is solved exactly, without a seed; more are left to scikit-learn's KMeans.
        n_init: initialisations of KMeans, not read for 2 clusters. Ten often miss the best clusters.
        seed: of KMeans, not read for 2 clusters.

    Raises:
        ValueError: ``n_clusters`` is smaller than 2.
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
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.seed = seed

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """Number of clusters and, where KMeans is used, its initialisations and seed."""
        if self.n_clusters == 2:
            return {"n_clusters": 2}
        return {"n_clusters": self.n_clusters, "n_init": self.n_init, "seed": self.seed}

    def keep_mask(self, products: Tensor) -> Tensor:
        """True outside the topmost cluster of each row of q ``(..., dim)``."""
        if self.n_clusters == 2:
            return two_means_keep_mask(products)
        return top_cluster_keep_mask(products, self.n_clusters, self.n_init, self.seed)


class QuantileMasking(ProductMasking):
    """Drops the products q above their theta-quantile: q > quantile(q, theta).

    Args:
        theta: in (0, 1). 0.7 drops 307 of 1024 elements, 0.8 drops 256 of 1280.
        drop: "high" is the method; "low", which drops the mirrored end, is its ablation.

    Raises:
        ValueError: ``theta`` is outside (0, 1), or ``drop`` is another word.
    """

    name = "quantile_masking"

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

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """Quantile and the end that is dropped."""
        return {"theta": self.theta, "drop": self.drop}

    def keep_mask(self, products: Tensor) -> Tensor:
        """True up to the quantile of each row of q ``(..., dim)``."""
        return quantile_keep_mask(products, self.theta, self.drop)
