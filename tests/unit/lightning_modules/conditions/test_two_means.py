"""Exact 2-means against brute force, exact arithmetic and scikit-learn; ties, constant rows, batches."""

from fractions import Fraction

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from lightning_modules.conditions.two_means import two_means_keep_mask, two_means_threshold


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


def test_row_alone_equals_row_in_batch() -> None:
    values = rows(5, 3, 64)
    keep_mask = two_means_keep_mask(values)
    for b in range(5):
        for level in range(3):
            assert torch.equal(two_means_keep_mask(values[b, level]), keep_mask[b, level])


def test_permutation_equivariance() -> None:
    values = rows(8, 128)
    order = torch.randperm(128, generator=torch.Generator().manual_seed(3))
    assert torch.equal(two_means_keep_mask(values[:, order]), two_means_keep_mask(values)[:, order])


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
