"""Paired differences against SciPy's bootstrap and against what can be worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap

from scripts.reproduction.differences import Difference, at_equal_text, first_reached, paired_difference
from scripts.reproduction.results import TEXT
from tests.unit.scripts.reproduction.synthetic import evaluated, published_results


def test_interval_agrees_with_scipys_bootstrap_of_the_paired_differences() -> None:
    generator = np.random.default_rng(3)
    common, noise = generator.normal(0, 0.2, 24), generator.normal(0.02, 0.03, 24)
    a, b = evaluated("masking", 0, text=(common + noise).tolist()), evaluated("ip_adapter", 0, text=common.tolist())
    found = paired_difference(a, b, TEXT)
    reference = bootstrap((noise,), np.mean, n_resamples=10_000, method="percentile", random_state=1)
    assert found.mean == pytest.approx(noise.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval), abs=6e-4)
    assert found.references == 24
    assert found == paired_difference(a, b, TEXT)  # its chance is seeded


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.02, "higher"), (-0.02, -0.01, "lower"), (-0.01, 0.01, "no difference that 7 references can show")],
)
def test_verdict_asks_on_which_side_of_zero_the_interval_lies(low: float, high: float, verdict: str) -> None:
    assert Difference((low + high) / 2, low, high, 7).verdict == verdict


def test_published_curves_at_equal_text_alignment(tmp_path: Path) -> None:
    curves = published_results(tmp_path).curves
    found = at_equal_text(curves["image_adapter"], curves["text_adapter"])
    assert found.levels == pytest.approx((0.204, 0.251))
    assert found.at_highest.mean == pytest.approx(0.436 - 0.390)
    # All references differ by a common shift only, so no resample changes the gap.
    assert (found.at_highest.low, found.at_highest.high) == pytest.approx((0.046, 0.046))
    levels = np.linspace(0.204, 0.251, 51)
    image = np.interp(levels, [0.204, 0.234, 0.251], [0.605, 0.498, 0.436])
    text = np.interp(levels, [0.204, 0.248, 0.251], [0.605, 0.488, 0.390])
    assert found.averaged.mean == pytest.approx((image - text).mean(), abs=1e-9)


def test_a_curve_that_never_rises_is_met_untrained() -> None:
    falling = [evaluated("image_adapter", step, text=[0.3 - step] * 2, image=[0.5 - step] * 2) for step in (0, 0.1)]
    rising = [evaluated("text_adapter", step, text=[0.3 + step] * 2, image=[0.2 - step] * 2) for step in (0, 0.1)]
    found = at_equal_text(falling, rising)
    assert found.levels == pytest.approx((0.3, 0.3))
    assert found.at_highest.mean == pytest.approx(0.3)


def test_first_reached_takes_the_first_of_several_crossings() -> None:
    text = np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 2.0]])
    image = np.array([[4.0, 2.0, 9.0, 9.0], [8.0, 6.0, 4.0, 2.0]])
    assert first_reached(text, image, np.array([0.5, 1.5])) == pytest.approx([3.0, 3.0])
