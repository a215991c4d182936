"""Masking: exact 2-means against brute force and scikit-learn, quantiles against numpy, what is dropped."""

from fractions import Fraction
from typing import Literal

import numpy
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from lightning_modules.conditions.masking import (
    Masking,
    ProductMasking,
    QuantileMasking,
    feature_products,
    two_means_keep_mask,
    two_means_threshold,
)
from tests.unit.lightning_modules.conditions.test_conditions import DIM, MASKINGS, features

every_method = pytest.mark.parametrize("method", MASKINGS, ids=str)


def rows(*shape: int, seed: int = 0) -> Tensor:
    """Heavy-tailed rows, as products of two features are."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) * torch.randn(*shape, generator=generator)


def cost(values: list[Fraction]) -> Fraction:
    mean = sum(values, Fraction(0)) / len(values)
    return sum(((value - mean) ** 2 for value in values), Fraction(0))


def brute_force_drop(row: Tensor) -> list[bool]:
    """All splits of the sorted row in exact arithmetic; of equal costs the smallest upper cluster."""
    x = sorted(Fraction(value) for value in row.tolist())
    splits = [k for k in range(1, len(x)) if x[k - 1] < x[k]]
    if not splits:
        return [False] * len(x)
    k = min(splits, key=lambda k: (cost(x[:k]) + cost(x[k:]), -k))
    return [Fraction(value) >= x[k] for value in row.tolist()]


def within_cluster_sum(row: Tensor, keep_mask: Tensor) -> float:
    parts = [row[keep_mask].double(), row[~keep_mask].double()]
    return sum(float((part - part.mean()).square().sum()) for part in parts)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("levels", [None, 3])
def test_equals_brute_force(seed: int, levels: int | None) -> None:
    row = rows(23, seed=seed)
    if levels is not None:
        row = (row * levels).round() / levels  # many ties
    assert (~two_means_keep_mask(row)).tolist() == brute_force_drop(row)


def test_equals_scikit_learn_with_many_initialisations() -> None:
    for row in rows(6, 256, seed=1):
        labels = torch.from_numpy(KMeans(2, n_init=50, random_state=0).fit_predict(row[:, None].double().numpy()))
        reference = labels != labels[row.argmax()]
        keep_mask = two_means_keep_mask(row)
        exact, found = within_cluster_sum(row, keep_mask), within_cluster_sum(row, reference)
        assert exact <= found * (1 + 1e-12)
        # Lloyd's algorithm may stop beside the optimum; where it reaches it, the clusters are the same.
        assert (keep_mask == reference).all() or exact < found
        assert (keep_mask != reference).sum() <= 4


@pytest.mark.parametrize(
    ("row", "dropped"),
    [
        ([-1.0, 0.0, 1.0], [2]),  # both splits cost the same: the smaller upper cluster
        ([0.0, 1.0, 2.0, 3.0, 4.0], [3, 4]),  # the same at 2|3 and 3|2
        ([0.1, 0.1, 0.9, 0.9], [2, 3]),
        ([1.0, 5.0, 5.0, 5.0], [1, 2, 3]),  # equal values stay together
        ([5.0, 1.0], [0]),
        ([2.0, 2.0, 2.0], []),
        ([0.0, 0.0], []),
        ([0.0, -0.0, 0.0], []),
        ([7.0], []),
        ([1e15, 1e15, 1e15 + 1], [2]),  # far from zero
        ([0.0, 0.0, 1e-200], [2]),  # squares would underflow
        ([1.0, 1.0, 1.0, 1.0 + 2**-52], [3]),
        ([0.0, 1.0, 2.0, 1e6], [3]),
    ],
)
def test_stated_answers(row: list[float], dropped: list[int]) -> None:
    keep_mask = two_means_keep_mask(torch.tensor(row, dtype=torch.float64))
    assert (~keep_mask).nonzero().flatten().tolist() == dropped


def test_threshold_is_the_largest_kept_value() -> None:
    values = rows(4, 3, 50)
    threshold = two_means_threshold(values)
    assert threshold.shape == (4, 3, 1)
    kept = values.masked_fill(~two_means_keep_mask(values), -torch.inf)
    assert torch.equal(threshold, kept.amax(dim=-1, keepdim=True))


@pytest.mark.parametrize("shift", [0.0, 1000.0, -3.5])
@pytest.mark.parametrize("factor", [1.0, 0.1, 1e6])
def test_shift_and_scale_do_not_matter(shift: float, factor: float) -> None:
    values = rows(8, 100).double()
    assert torch.equal(two_means_keep_mask(values * factor + shift), two_means_keep_mask(values))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type_is_solved_in_float64(dtype: torch.dtype) -> None:
    values = rows(4, 40).to(dtype)
    assert torch.equal(two_means_keep_mask(values), two_means_keep_mask(values.double()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_mask_on_cuda_with_deterministic_algorithms() -> None:
    values = rows(4, 1024)
    torch.use_deterministic_algorithms(True)
    try:
        keep_mask = two_means_keep_mask(values.cuda())
    finally:
        torch.use_deterministic_algorithms(False)
    assert keep_mask.is_cuda
    assert torch.equal(keep_mask.cpu(), two_means_keep_mask(values))


def test_takes_values_that_need_a_gradient_and_leaves_them_unchanged() -> None:
    values = rows(2, 30).double().requires_grad_()
    before = values.detach().clone()
    assert not two_means_keep_mask(values).requires_grad
    assert torch.equal(values.detach(), before)


@pytest.mark.parametrize("values", [torch.arange(3), torch.tensor(1.0), torch.zeros(2, 0)])
def test_refuses_what_it_cannot_cluster(values: Tensor) -> None:
    with pytest.raises(ValueError, match=r"`values` must be a floating-point tensor .*got .*Pass one row of scalars"):
        two_means_keep_mask(values)


def test_refuses_nan() -> None:
    with pytest.raises(ValueError, match="`values` must be finite, got NaN or infinity"):
        two_means_keep_mask(torch.tensor([0.0, float("nan")]))


def test_products_are_those_of_unit_vectors() -> None:
    e, t = features(3, 10).float(), features(3, 10, seed=99).float()
    q = feature_products(e, t)
    assert q.dtype == torch.float64
    reference = numpy.sum(e.double().numpy() * t.double().numpy(), axis=-1)
    reference /= numpy.linalg.norm(e.double(), axis=-1) * numpy.linalg.norm(t.double(), axis=-1)
    numpy.testing.assert_allclose(q.sum(dim=-1).numpy(), reference, rtol=1e-12)


@every_method
def test_kept_elements_are_unchanged_and_dropped_ones_zero(method: ProductMasking) -> None:
    e, t = features(4, DIM).float().requires_grad_(), features(4, DIM, seed=99).float()
    feature, keep_mask, share_masked = method(e, t)
    assert keep_mask.dtype == torch.bool
    assert torch.equal(feature, torch.where(keep_mask, e, torch.zeros(())))
    assert torch.equal(share_masked, (~keep_mask).sum(dim=-1) / DIM)
    assert ((share_masked > 0) & (share_masked < 1)).all()
    assert torch.equal(method(e * 16, t / 4).keep_mask, keep_mask), "norms do not matter"
    feature.sum().backward()
    assert torch.equal(e.grad, keep_mask.float()), "the gradient reaches kept elements only"


@every_method
def test_zero_image_feature_stays_zero_and_its_neighbours_are_masked(method: ProductMasking) -> None:
    e = features(2, DIM)
    e[0] = 0
    feature, keep_mask, share_masked = method(e, features(2, DIM, seed=99))
    assert torch.equal(feature[0], torch.zeros(DIM))
    assert keep_mask[0].all()
    assert share_masked[0] == 0 < share_masked[1]


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
    _, keep_mask, share_masked = QuantileMasking(theta, drop)(features(3, dim), features(3, dim, seed=99))
    assert (~keep_mask).sum(dim=-1).tolist() == [dropped] * 3
    assert share_masked.tolist() == pytest.approx([dropped / dim] * 3)


@pytest.mark.parametrize("theta", [0.1, 0.25, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("dim", [1, 2, 11, 41])
def test_quantile_equals_numpy(theta: float, dim: int) -> None:
    q = (features(5, dim) * 2).round()  # with ties
    quantile = numpy.quantile(q.numpy(), theta, axis=-1, keepdims=True, method="linear")
    assert (~QuantileMasking(theta).keep_mask(q)).numpy().tolist() == (q.numpy() > quantile).tolist()


def test_low_end_is_the_mirror_image_of_the_high_end() -> None:
    e, t = features(2, 100), features(2, 100, seed=99)
    assert torch.equal(QuantileMasking(0.7, "low")(e, t).keep_mask, QuantileMasking(0.7)(-e, t).keep_mask)
    dropped = feature_products(e, t)[~QuantileMasking(0.7, "low")(e, t).keep_mask]
    assert len(dropped) == 2 * 30
    assert dropped.max() < feature_products(e, t).median()


def test_more_clusters_drop_the_topmost_of_scikit_learn() -> None:
    e, t = features(3, 80), features(3, 80, seed=99)
    keep_mask = Masking(n_clusters=4, seed=1)(e, t).keep_mask
    for q, row in zip(feature_products(e, t), keep_mask, strict=True):
        kmeans = KMeans(4, n_init=50, tol=0, random_state=5).fit(q[:, None].numpy())
        assert row.tolist() == (kmeans.labels_ != kmeans.cluster_centers_.argmax()).tolist()
    assert (Masking(5, n_init=5)(e, t).share_masked < Masking(2)(e, t).share_masked).all()


@pytest.mark.parametrize(
    ("row", "dropped"),
    [([1.0, 2.0, 2.0, 1.0], [1, 2]), ([3.0, 3.0, 3.0, 3.0], []), ([1.0, 2.0, 3.0, 3.0], [2, 3])],
)
def test_fewer_distinct_values_than_clusters(row: list[float], dropped: list[int]) -> None:
    keep_mask = Masking(n_clusters=3)(torch.tensor([row]), torch.ones(1, 4)).keep_mask
    assert (~keep_mask[0]).nonzero().flatten().tolist() == dropped
