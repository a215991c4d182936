"""IPAdapter, InstantStyle and the subtraction they share: values, norms, zero features."""

import numpy
import pytest
import torch
from torch import Tensor

from lightning_modules.conditions import InstantStyle, IPAdapter, subtract_content
from tests.float64 import assert_same


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 5


def norm(x: Tensor) -> numpy.ndarray:
    return numpy.linalg.norm(x.double().numpy(), axis=-1, keepdims=True)


def test_ip_adapter_returns_the_image_feature() -> None:
    e = features(2, 3, 8)
    conditioned = IPAdapter()(e)
    assert conditioned.feature is e
    assert conditioned.keep_mask is None
    assert conditioned.share_masked is None
    assert IPAdapter.name == "ip_adapter"
    assert IPAdapter().settings == {}


@pytest.mark.parametrize("strength", [1.0, 0.4, -0.5])
def test_raw_norms(strength: float) -> None:
    e, t = features(3, 16), features(3, 16, seed=1)
    v = InstantStyle(strength)(e, t).feature
    assert_same(v.numpy(), e.numpy() - strength * t.numpy())


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_matched_norms(strength: float) -> None:
    e, t = features(3, 16), features(3, 16, seed=1) / 100
    v = InstantStyle(strength, norm_matched=True)(e, t).feature
    expected = e.numpy() - strength * norm(e) / norm(t) * t.numpy()
    assert_same(v.numpy(), expected)
    assert_same(norm(e - v), strength * norm(e))


@pytest.mark.parametrize("norm_matched", [False, True])
def test_strength_zero_is_the_identity(norm_matched: bool) -> None:
    e = features(2, 3, 16)
    assert torch.equal(InstantStyle(0.0, norm_matched)(e, features(2, 16, seed=1)).feature, e)


@pytest.mark.parametrize("norm_matched", [False, True])
def test_each_level_against_the_text(norm_matched: bool) -> None:
    method = InstantStyle(0.8, norm_matched)
    e, t = features(2, 3, 16), features(2, 16, seed=1)
    v = method(e, t).feature
    for level in range(3):
        assert_same(method(e[:, level], t).feature, v[:, level])


@pytest.mark.parametrize("norm_matched", [False, True])
def test_row_alone_equals_row_in_batch(norm_matched: bool) -> None:
    method = InstantStyle(0.8, norm_matched)
    e, t = features(4, 1024), features(4, 1024, seed=1)
    v = method(e, t).feature
    for row in range(4):
        assert_same(method(e[[row]], t[[row]]).feature[0], v[row])


@pytest.mark.parametrize("norm_matched", [False, True])
def test_permutation_equivariance(norm_matched: bool) -> None:
    method = InstantStyle(0.8, norm_matched)
    e, t = features(4, 64), features(4, 64, seed=1)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    assert_same(method(e[:, order], t[:, order]).feature, method(e, t).feature[:, order])


def test_zero_image_feature() -> None:
    e, t = torch.zeros(1, 8, dtype=torch.float64), features(1, 8)
    assert torch.equal(InstantStyle(0.5)(e, t).feature, -0.5 * t)
    assert torch.equal(InstantStyle(0.5, norm_matched=True)(e, t).feature, e)


@pytest.mark.parametrize("norm_matched", [False, True])
def test_zero_content_subtracts_nothing_and_has_a_finite_gradient(norm_matched: bool) -> None:
    e, c = features(2, 8), torch.zeros(2, 8, requires_grad=True)
    v = subtract_content(e, c, 1.0, norm_matched)
    v.sum().backward()
    assert torch.equal(v.detach(), e)
    assert c.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_of_the_image_feature_is_kept_and_norms_do_not_overflow(dtype: torch.dtype) -> None:
    e, c = (features(2, 64) * 2000).to(dtype), features(2, 64, seed=1)
    v = subtract_content(e, c, 0.5, norm_matched=True)
    assert v.dtype == dtype
    expected = subtract_content(e.double(), c.double(), 0.5, norm_matched=True)
    assert_same(v, expected, max(torch.finfo(dtype).eps, 1e-9))


def test_name_and_settings() -> None:
    assert InstantStyle.name == "instantstyle"
    assert InstantStyle(0.2, norm_matched=True).settings == {"strength": 0.2, "norm_matched": True}
