"""Intervals against plain NumPy bootstraps, and paired differences against SciPy."""

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from torch import Tensor

from callbacks.scoring import bootstrap as intervals
from callbacks.scoring.bootstrap import Estimate, PictureKey, by_key, estimate, paired_difference


def grouped(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    references = torch.randint(0, 9, (50,), generator=generator) * 7
    return torch.randn(50, generator=generator) + references / 7, references


def test_reference_means_equal_numpy() -> None:
    values, references = grouped()
    means = intervals.reference_means(values, references)
    expected = np.unique(references.numpy())
    assert means.references.tolist() == expected.tolist()
    for index, mean, count in zip(*(column.tolist() for column in means), strict=True):
        own = values.numpy()[references.numpy() == index]
        assert mean == pytest.approx(own.astype(np.float64).mean(), abs=1e-12)
        assert count == len(own)
    assert intervals.image_mean(means) == pytest.approx(values.double().mean().item(), abs=1e-12)


def test_interval_equals_a_plain_cluster_bootstrap() -> None:
    values, references = grouped()
    means = intervals.reference_means(values, references)
    low, high = intervals.bootstrap_interval(means, resamples=300, seed=5)
    drawn = torch.randint(
        len(means.references), (300, len(means.references)), generator=torch.Generator().manual_seed(5)
    )
    groups = [values.double().numpy()[references.numpy() == r] for r in means.references.tolist()]
    plain = [np.concatenate([groups[k] for k in row]).mean() for row in drawn.tolist()]
    assert (low, high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=1e-12)
    assert intervals.bootstrap_interval(means, resamples=300, seed=5) == (low, high)
    assert intervals.bootstrap_interval(means, resamples=300, seed=6) != (low, high)


def test_interval_covers_the_truth_and_knows_that_pictures_of_one_reference_belong_together() -> None:
    generator = torch.Generator().manual_seed(0)
    covered, widths, references = 0, [], torch.arange(30).repeat_interleave(10)
    for seed in range(100):
        values = torch.randn(30, generator=generator).repeat_interleave(10)  # ten copies of each reference's value
        low, high = intervals.bootstrap_interval(
            intervals.reference_means(values, references), resamples=200, seed=seed
        )
        covered += low <= 0 <= high
        widths.append(high - low)
    assert covered >= 85
    assert np.mean(widths) == pytest.approx(2 * 1.96 / 30**0.5, rel=0.1)  # not / 300**0.5


def test_interval_of_one_reference_is_its_mean() -> None:
    means = intervals.reference_means(torch.tensor([1.0, 2.0]), torch.tensor([4, 4]))
    assert intervals.bootstrap_interval(means) == (1.5, 1.5)
    ones = intervals.reference_means(torch.ones(60), torch.arange(60) // 7)
    assert intervals.bootstrap_interval(ones) == (1.0, 1.0)


def test_resampled_counts_are_the_pictures_of_the_drawn_references() -> None:
    counts = torch.tensor([3, 1, 2])
    drawn = torch.randint(3, (40, 3), generator=torch.Generator().manual_seed(2)).numpy()
    expected = [[count * (row == place).sum() for place, count in enumerate([3, 1, 2])] for row in drawn]
    assert intervals.resampled_counts(counts, resamples=40, seed=2).tolist() == expected


def grid(references: int = 20, prompts: int = 3, seeds: int = 2) -> list[PictureKey]:
    return [
        PictureKey(f"style{r:02d}", f"A thing {p}", seed)
        for r in range(references)
        for p in range(prompts)
        for seed in range(seeds)
    ]


def methods(keys: list[PictureKey]) -> tuple[Tensor, Tensor]:
    """Two methods of which the second adds .05 and a noise of each reference to what both share."""
    generator = np.random.default_rng(4)
    common = generator.normal(0, 1, len(keys))
    shift = dict(zip(sorted({key.reference for key in keys}), generator.normal(0.05, 0.02, len(keys)), strict=False))
    own = common + np.array([shift[key.reference] for key in keys])
    return torch.from_numpy(common), torch.from_numpy(own)


def test_paired_difference_agrees_with_scipy_and_the_common_part_cancels() -> None:
    keys = grid()
    common, own = methods(keys)
    found = paired_difference(by_key(keys, own), by_key(keys, common), resamples=10_000)
    by_reference = (own - common).reshape(20, 6).mean(dim=1).numpy()
    reference = bootstrap((by_reference,), np.mean, n_resamples=10_000, method="percentile", random_state=1)
    assert found.mean == pytest.approx(by_reference.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval), abs=6e-4)
    assert found.pairs == 120
    assert found.low > 0.03  # each mean alone is uncertain by .2


def test_paired_difference_does_not_depend_on_the_order_of_the_pictures() -> None:
    keys = grid()
    common, own = methods(keys)
    order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))
    shuffled = by_key([keys[k] for k in order], own[order])
    a, b = by_key(keys, own), by_key(keys, common)
    found = paired_difference(a, b)
    assert paired_difference(shuffled, b) == found
    assert paired_difference(b, a).mean == pytest.approx(-found.mean, abs=1e-12)


def test_a_reference_weighs_as_many_pictures_as_it_has() -> None:
    keys = [PictureKey("x", "p", 0), PictureKey("x", "p", 1), PictureKey("x", "p", 2), PictureKey("y", "p", 0)]
    found = paired_difference(by_key(keys, torch.tensor([1.0, 1, 1, 0])), dict.fromkeys(keys, 0.0))
    assert found == (0.75, 0.0, 1.0, 4, 2)


def test_different_grids_say_what_is_missing() -> None:
    keys = grid()
    a, b = dict.fromkeys(keys[:-12], 0.0), dict.fromkeys([*keys[1:], PictureKey("x", "p", 0, "content:a")], 0.0)
    with pytest.raises(
        ValueError, match="`masking` and `ip_adapter` must hold pictures of the same references, prompts and"
    ) as error:
        paired_difference(a, b, names=("masking", "ip_adapter"))
    text = str(error.value)
    assert "`masking` lacks 13: (reference 'style18', prompt 'A thing 0', seed 0), (reference 'style18'," in text
    assert text.count("(reference") == 11
    assert " and 3 more; `ip_adapter` lacks 1: (reference 'style00', prompt 'A thing 0', seed 0). Generate" in text
    with pytest.raises(ValueError, match="`b` lacks 1: .* seed 1") as error:
        paired_difference(dict.fromkeys(keys, 0.0), dict.fromkeys(keys[:-1], 0.0))
    assert "`a` lacks" not in str(error.value) and " more" not in str(error.value)


def test_messages() -> None:
    with pytest.raises(ValueError, match=r"at least 1 picture long, got shapes \(0,\) and \(0,\)"):
        intervals.reference_means(torch.ones(0), torch.ones(0))
    with pytest.raises(ValueError, match="two pictures have reference 'x', prompt 'p', so which .* its own seed"):
        by_key([PictureKey("y", "p"), PictureKey("x", "p"), PictureKey("x", "p")], torch.ones(3))
    with pytest.raises(ValueError, match="score at least one batch first"):
        paired_difference({}, {})


def test_an_estimate_is_mean_interval_and_means_by_reference_whatever_the_order() -> None:
    values, references = grouped()
    order, means = torch.randperm(50, generator=torch.Generator().manual_seed(1)), intervals.reference_means(*grouped())
    found = estimate(values, references)
    assert found == estimate(values[order], references[order])
    assert found == Estimate(
        intervals.image_mean(means), *intervals.bootstrap_interval(means), *(column.tolist() for column in means)
    )
    assert estimate(torch.tensor([0.25]), torch.tensor([3])) == Estimate(0.25, 0.25, 0.25, [3], [0.25], [1])
    with pytest.raises(ValueError, match="`values` must be finite, got NaN or infinities: leave such pictures out"):
        estimate(torch.tensor([torch.nan]), torch.tensor([3]))
