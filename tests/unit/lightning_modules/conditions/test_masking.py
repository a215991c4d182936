"""Masking by 2-means, by KMeans and by quantile: counts, references, properties, messages."""

from typing import Literal

import numpy
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from lightning_modules.conditions import Masking, QuantileMasking
from lightning_modules.conditions.masking import ProductMasking, feature_products, quantile_keep_mask

METHODS = [Masking(), Masking(n_clusters=3, n_init=2), QuantileMasking(0.7), QuantileMasking(0.6, drop="low")]
every_method = pytest.mark.parametrize("method", METHODS, ids=str)


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 5


def text(batch: int, dim: int) -> Tensor:
    return features(batch, dim, seed=99)


def test_products_are_those_of_unit_vectors() -> None:
    e, t = features(3, 10), text(3, 10)
    q = feature_products(e, t)
    assert q.dtype == torch.float64
    reference = numpy.sum(e.double().numpy() * t.double().numpy(), axis=-1)
    reference /= numpy.linalg.norm(e.double(), axis=-1) * numpy.linalg.norm(t.double(), axis=-1)
    numpy.testing.assert_allclose(q.sum(dim=-1).numpy(), reference, rtol=1e-12)


@every_method
def test_kept_elements_are_unchanged_and_dropped_ones_zero(method: ProductMasking) -> None:
    e = features(4, 60)
    feature, keep_mask, share_masked = method(e, text(4, 60))
    assert keep_mask.dtype == torch.bool
    assert torch.equal(feature, torch.where(keep_mask, e, torch.zeros(())))
    assert torch.equal(share_masked, (~keep_mask).sum(dim=-1) / 60)
    assert ((share_masked > 0) & (share_masked < 1)).all()


def test_two_clusters_drop_the_cluster_with_the_larger_centre() -> None:
    e = torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    t = torch.tensor([[0.1, -3.0, 2.5, -1.0]])  # products .1, 6, 7.5, -.5
    feature, keep_mask, share_masked = Masking()(e, t)
    assert feature.tolist() == [[1.0, 0.0, 0.0, 0.5]]
    assert keep_mask.tolist() == [[True, False, False, True]]
    assert share_masked.tolist() == [0.5]


@pytest.mark.parametrize(("theta", "dim", "dropped"), [(0.7, 1024, 307), (0.8, 1280, 256)])
@pytest.mark.parametrize("drop", ["high", "low"])
def test_quantile_drops_the_stated_number(theta: float, dim: int, dropped: int, drop: Literal["high", "low"]) -> None:
    _, keep_mask, share_masked = QuantileMasking(theta, drop)(features(3, dim), text(3, dim))
    assert (~keep_mask).sum(dim=-1).tolist() == [dropped] * 3
    assert share_masked.tolist() == pytest.approx([dropped / dim] * 3)


@pytest.mark.parametrize("theta", [0.1, 0.25, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("dim", [1, 2, 11, 41])
def test_quantile_equals_numpy(theta: float, dim: int) -> None:
    q = (features(5, dim).double() * 2).round()  # with ties
    quantile = numpy.quantile(q.numpy(), theta, axis=-1, keepdims=True, method="linear")
    assert (~quantile_keep_mask(q, theta)).numpy().tolist() == (q.numpy() > quantile).tolist()


def test_low_end_is_the_mirror_image_of_the_high_end() -> None:
    e, t = features(2, 100), text(2, 100)
    assert torch.equal(QuantileMasking(0.7, "low")(e, t).keep_mask, QuantileMasking(0.7)(-e, t).keep_mask)
    dropped = feature_products(e, t)[~QuantileMasking(0.7, "low")(e, t).keep_mask]
    assert len(dropped) == 2 * 30
    assert dropped.max() < feature_products(e, t).median()


def test_more_clusters_drop_the_topmost_of_scikit_learn() -> None:
    e, t = features(3, 80), text(3, 80)
    keep_mask = Masking(n_clusters=4, seed=1)(e, t).keep_mask
    for q, row in zip(feature_products(e, t), keep_mask, strict=True):
        kmeans = KMeans(4, n_init=50, tol=0, random_state=5).fit(q[:, None].numpy())
        assert row.tolist() == (kmeans.labels_ != kmeans.cluster_centers_.argmax()).tolist()


def test_more_clusters_drop_fewer_elements_than_two() -> None:
    e, t = features(3, 80), text(3, 80)
    assert (Masking(5, n_init=5)(e, t).share_masked < Masking(2)(e, t).share_masked).all()


@pytest.mark.parametrize(
    ("row", "dropped"),
    [([1.0, 2.0, 2.0, 1.0], [1, 2]), ([3.0, 3.0, 3.0, 3.0], []), ([1.0, 2.0, 3.0, 3.0], [2, 3])],
)
def test_fewer_distinct_values_than_clusters(row: list[float], dropped: list[int]) -> None:
    keep_mask = Masking(n_clusters=3)(torch.tensor([row]), torch.ones(1, 4)).keep_mask
    assert (~keep_mask[0]).nonzero().flatten().tolist() == dropped


@every_method
def test_zero_image_feature_stays_zero_and_its_neighbours_are_masked(method: ProductMasking) -> None:
    e = features(2, 50)
    e[0] = 0
    feature, keep_mask, share_masked = method(e, text(2, 50))
    assert torch.equal(feature[0], torch.zeros(50))
    assert keep_mask[0].all()
    assert share_masked[0] == 0 < share_masked[1]


@every_method
def test_the_same_mask_twice_is_the_mask_once(method: ProductMasking) -> None:
    feature, keep_mask, _ = method(features(4, 60), text(4, 60))
    assert torch.equal(feature.masked_fill(~keep_mask, 0), feature)


@every_method
def test_row_alone_equals_row_in_batch(method: ProductMasking) -> None:
    e, t = features(4, 3, 1024), text(4, 1024)
    whole = method(e, t)
    for row in range(4):
        alone = method(e[row : row + 1], t[row : row + 1])
        assert all(torch.equal(a[0], b[row]) for a, b in zip(alone, whole, strict=True))


@every_method
def test_each_level_is_masked_by_itself_against_the_text(method: ProductMasking) -> None:
    e, t = features(2, 3, 64), text(2, 64)
    whole = method(e, t)
    assert whole.feature.shape == whole.keep_mask.shape == (2, 3, 64)
    assert whole.share_masked.shape == (2, 3)
    for level in range(3):
        assert all(torch.equal(a, b[:, level]) for a, b in zip(method(e[:, level], t), whole, strict=True))


@every_method
def test_one_text_serves_the_whole_batch(method: ProductMasking) -> None:
    e, t = features(3, 40), text(1, 40)
    assert torch.equal(method(e, t).feature, method(e, t.expand(3, 40)).feature)


@every_method
def test_permutation_equivariance(method: ProductMasking) -> None:
    e, t = features(3, 70), text(3, 70)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(1))
    assert torch.equal(method(e[:, order], t[:, order]).feature, method(e, t).feature[:, order])


@every_method
def test_norms_do_not_matter(method: ProductMasking) -> None:
    e, t = features(3, 40), text(3, 40)
    assert torch.equal(method(e, t).keep_mask, method(e * 16, t / 4).keep_mask)


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_of_the_image_feature_is_kept(method: ProductMasking, dtype: torch.dtype) -> None:
    feature, _, share_masked = method(features(2, 40).to(dtype), text(2, 40))
    assert feature.dtype == dtype
    assert share_masked.dtype == torch.float32


def test_gradient_reaches_kept_elements_only() -> None:
    e = features(1, 30).requires_grad_()
    feature, keep_mask, _ = Masking()(e, text(1, 30))
    feature.sum().backward()
    assert torch.equal(e.grad, keep_mask.float())


@pytest.mark.parametrize("theta", [0.0, 1.0, -100.0, 1.5, float("nan")])
def test_theta_outside_the_open_interval(theta: float) -> None:
    with pytest.raises(ValueError, match=r"`theta` must be in \(0, 1\).*got .*Use 0.7"):
        QuantileMasking(theta)


def test_unknown_end() -> None:
    with pytest.raises(ValueError, match=r'`drop` must be "high" or "low", got \'top\'. Use "high"'):
        QuantileMasking(drop="top")  # type: ignore[arg-type]


def test_one_cluster() -> None:
    with pytest.raises(ValueError, match=r"`n_clusters` must be 2 or more, got 1. Use 2"):
        Masking(n_clusters=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite(value: float) -> None:
    broken = torch.full((1, 4), value)
    with pytest.raises(ValueError, match=r"`image_feature` must be finite, got NaN or infinity. Encode in float32"):
        Masking()(broken, torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"`text_feature` must be finite, got NaN or infinity. Encode in float32"):
        Masking()(torch.ones(1, 4), broken)


def test_names_and_settings() -> None:
    assert (Masking.name, QuantileMasking.name) == ("masking", "quantile_masking")
    assert Masking().settings == {"n_clusters": 2}
    assert Masking(3, n_init=4, seed=5).settings == {"n_clusters": 3, "n_init": 4, "seed": 5}
    assert QuantileMasking(0.8, "low").settings == {"theta": 0.8, "drop": "low"}
    assert repr(QuantileMasking(0.8)) == "QuantileMasking(theta=0.8, drop='high')"
