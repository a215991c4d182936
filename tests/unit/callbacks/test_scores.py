"""Scores against plain numpy and torch.nn.functional."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from callbacks import scores
from callbacks.scores import UnitFeatures


def random_features(rows: int = 64, dim: int = 7, seed: int = 0) -> UnitFeatures:
    generator = torch.Generator().manual_seed(seed)
    return UnitFeatures(*(normalize(torch.randn(rows, dim, generator=generator), dim=-1) for _ in range(4)))


def test_alignments_are_cosines() -> None:
    raw = [torch.randn(5, 7, generator=torch.Generator().manual_seed(k)) for k in range(4)]
    features = UnitFeatures(*(normalize(x, dim=-1) for x in raw))
    i, s, n, p = raw
    torch.testing.assert_close(scores.text_alignment(features), cosine_similarity(i, p))
    torch.testing.assert_close(scores.image_alignment(features), cosine_similarity(i, s))
    torch.testing.assert_close(scores.content_alignment(features), cosine_similarity(i, n))


def test_published_scores_equal_numpy_row_by_row() -> None:
    features = random_features()
    leaks, styles, leakages, differences = [], [], [], []
    for i, s, n, p in zip(*(x.double().numpy() for x in features), strict=True):
        leak = np.dot(i, n) > np.dot(i, p)
        leaks.append(leak)
        styles.append(0.0 if leak else np.dot(i, s - n))
        leakages.append(1.0 if leak else np.dot(i, n) / np.dot(s, n))
        differences.append(np.dot(i, s) - np.dot(i, n))
    assert 10 < sum(leaks) < 54  # both branches
    assert scores.leaked(features).tolist() == leaks
    np.testing.assert_allclose(scores.style_score(features), styles, atol=1e-6)
    np.testing.assert_allclose(scores.leakage_score(features), leakages, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(scores.difference_to_content(features), differences, atol=1e-6)


def test_equal_cosines_are_no_leak() -> None:
    unit = torch.eye(3)[:1]
    assert not scores.leaked(UnitFeatures(unit, unit, unit, unit))


def test_leak_among_all_contents_asks_for_the_nearest_content() -> None:
    axis = torch.eye(4)
    prompt, own, other = axis[0], axis[1], axis[2]
    pictures = torch.stack([own + 0.5 * other, other + 0.5 * own, prompt + 0.5 * own])
    features = UnitFeatures(normalize(pictures, dim=-1), axis[3].expand(3, 4), own.expand(3, 4), prompt.expand(3, 4))
    assert scores.leaked(features).tolist() == [True, True, False]
    assert scores.leaked_among(features, torch.stack([own, other])).tolist() == [True, False, False]
    assert scores.leaked_among(features, other[None]).tolist() == [True, False, False]


@pytest.mark.parametrize("zero", range(4))
def test_zero_vectors_give_numbers(zero: int) -> None:
    rows = [x.clone() for x in random_features(rows=8)]
    rows[zero].zero_()
    features = UnitFeatures(*rows)
    functions = [scores.text_alignment, scores.image_alignment, scores.style_score, scores.leakage_score]
    for function in [*functions, scores.leaked, lambda f: scores.leaked_among(f, f.content)]:
        assert torch.isfinite(function(features).float()).all()
    if zero in (1, 2):  # s.n = 0 : undefined, counts as a leaked picture does
        assert scores.leakage_score(features).eq(1).all()


def test_cosine_refuses_rows_that_do_not_match() -> None:
    with pytest.raises(ValueError, match=r"`a` and `b` must have the same shape .* got \(2, 3\) and \(1, 3\)"):
        scores.cosine(torch.ones(2, 3), torch.ones(1, 3))


def grouped(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    references = torch.randint(0, 9, (50,), generator=generator) * 7
    return torch.randn(50, generator=generator) + references / 7, references


def test_reference_means_equal_numpy() -> None:
    values, references = grouped()
    means = scores.reference_means(values, references)
    expected = np.unique(references.numpy())
    assert means.references.tolist() == expected.tolist()
    for index, mean, count in zip(*(column.tolist() for column in means), strict=True):
        own = values.numpy()[references.numpy() == index]
        assert mean == pytest.approx(own.astype(np.float64).mean(), abs=1e-12)
        assert count == len(own)
    assert scores.image_mean(means) == pytest.approx(values.double().mean().item(), abs=1e-12)


def test_reference_means_do_not_depend_on_the_order() -> None:
    values, references = grouped()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    one, other = scores.reference_means(values, references), scores.reference_means(values[order], references[order])
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_interval_equals_a_plain_cluster_bootstrap() -> None:
    values, references = grouped()
    means = scores.reference_means(values, references)
    low, high = scores.bootstrap_interval(means, resamples=300, seed=5)
    drawn = torch.randint(
        len(means.references), (300, len(means.references)), generator=torch.Generator().manual_seed(5)
    )
    groups = [values.double().numpy()[references.numpy() == r] for r in means.references.tolist()]
    plain = [np.concatenate([groups[k] for k in row]).mean() for row in drawn.tolist()]
    assert (low, high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=1e-12)
    assert scores.bootstrap_interval(means, resamples=300, seed=5) == (low, high)
    assert scores.bootstrap_interval(means, resamples=300, seed=6) != (low, high)


def test_interval_covers_the_truth_and_knows_that_pictures_of_one_reference_belong_together() -> None:
    generator = torch.Generator().manual_seed(0)
    covered, widths, references = 0, [], torch.arange(30).repeat_interleave(10)
    for seed in range(100):
        values = torch.randn(30, generator=generator).repeat_interleave(10)  # ten copies of each reference's value
        low, high = scores.bootstrap_interval(scores.reference_means(values, references), resamples=200, seed=seed)
        covered += low <= 0 <= high
        widths.append(high - low)
    assert covered >= 85
    assert np.mean(widths) == pytest.approx(2 * 1.96 / 30**0.5, rel=0.1)  # not / 300**0.5


def test_interval_of_one_reference_is_its_mean() -> None:
    means = scores.reference_means(torch.tensor([1.0, 2.0]), torch.tensor([4, 4]))
    assert scores.bootstrap_interval(means) == (1.5, 1.5)


def test_messages() -> None:
    with pytest.raises(ValueError, match=r"at least 1 picture long, got shapes \(0,\) and \(0,\)"):
        scores.reference_means(torch.ones(0), torch.ones(0))
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1"):
        scores.bootstrap_interval(scores.reference_means(torch.ones(1), torch.ones(1)), level=95)
