"""The words follow the numbers of the training curves, whichever way they fall."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap

from callbacks.scoring.bootstrap import Difference
from scripts.report.claims import Compared
from scripts.report.tables import IMAGE, TEXT
from scripts.report.training import Finding, at_equal_text, course, findings, first_reached, headline
from scripts.report.training_report import read_runs
from tests.unit.scripts.report.training_runs import STEPS, published, training, write_runs

FLAT = {"text": [0.2] * 6, "image": [0.5] * 6, "leaked": [0.1] * 6}


def test_reads_every_method_and_step_in_order(tmp_path: Path) -> None:
    values = published()
    found = training(tmp_path, dict(reversed(values.items())))
    assert list(found.tuning_free) == ["ip_adapter", "instantstyle", "masking"]
    assert [group.step for group in found.curves["text_adapter"]] == list(STEPS)
    assert len(found.groups) == 3 + 2 * len(STEPS)
    assert found.estimate(found.curves["image_adapter"][2], TEXT).mean == pytest.approx(0.251)
    assert found.estimate(found.curves["image_adapter"][2], IMAGE).means[0] == pytest.approx(0.411)


def test_a_run_without_scores_names_the_way_out(tmp_path: Path) -> None:
    runs = write_runs(tmp_path)
    runs["masking"] = runs["ip_adapter"]
    with pytest.raises(ValueError, match="holds no scores of masking. Remove the folder and start again"):
        read_runs(runs)


def test_other_references_cannot_be_compared(tmp_path: Path) -> None:
    fewer = {name: values[:5] for name, values in FLAT.items()}
    found = training(tmp_path, published() | {("masking", 0): fewer})
    with pytest.raises(ValueError, match="`Masking.*` lacks 2: .*reference 5"):
        findings(found)


def test_interval_agrees_with_scipys_bootstrap_of_the_paired_differences(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    common, noise = generator.normal(0.3, 0.05, 24), generator.normal(0.02, 0.03, 24)
    rest = {"image": [0.5] * 24, "leaked": [0.0] * 24}
    values = published(24) | {("masking", 0): {"text": (common + noise).tolist(), **rest}}
    found = training(tmp_path, values | {("ip_adapter", 0): {"text": common.tolist(), **rest}})
    free = found.tuning_free
    difference = found.compare(free["masking"], free["ip_adapter"], TEXT).difference
    reference = bootstrap((noise,), np.mean, n_resamples=10_000, method="percentile", random_state=1)
    assert difference.mean == pytest.approx(noise.mean(), abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx(tuple(reference.confidence_interval), abs=1.5e-3)
    assert difference.references == 24


def test_the_published_numbers_show_the_published_readings(tmp_path: Path) -> None:
    found = findings(training(tmp_path))
    free, curves, tuned = found.values()
    assert [each.agreement for each in [*free, *curves] if each.published] == ["seen"] * 7
    assert headline([*free, *curves]).startswith("Of 7 published readings 7 are seen here")
    assert free[0].sentence == (
        "Masking has a higher text alignment than InstantStyle: 0.237 against 0.220 (+0.017 [+0.017, +0.017])."
    )
    assert free[6].sentence.startswith(
        "Masking has a lower leak rate than InstantStyle: 10.0 % against 20.0 % (-10.0 points ["
    )
    assert curves[0].sentence.startswith(
        "Where both curves first reach a text alignment of 0.251, the highest that both reach, "
        "Image-Adapter has a higher image alignment than Text-Adapter (+0.046 ["
    )
    # On the way up it is the other way round, which the figure shows too.
    assert curves[1].compared.verdict == "lower"
    assert [each.sentence.split(" has ")[0] for each in tuned[:2]] == ["Masking", "Masking"]
    assert "Image-Adapter at step 800" in tuned[0].sentence


def test_reversed_numbers_show_the_opposite(tmp_path: Path) -> None:
    values = published()
    swapped = {("ip_adapter", 0): values["masking", 0], ("masking", 0): values["ip_adapter", 0]}
    free = findings(training(tmp_path, values | swapped))["tuning_free"]
    assert [each.agreement for each in free if each.published] == ["the opposite"] * 6
    assert free[0].sentence.startswith("Masking has a lower text alignment than InstantStyle: 0.205")
    assert free[0].claim == "Masking has a higher text alignment than InstantStyle."


@pytest.mark.parametrize(
    ("difference", "verdict", "agreement", "words"),
    [
        (Difference(0.015, 0.01, 0.02, 12, 6), "higher", "seen", "a has a higher text alignment than b (+0.015 ["),
        (Difference(-0.015, -0.02, -0.01, 12, 6), "lower", "the opposite", "a has a lower text alignment than b (-0.0"),
        (Difference(0.0, -0.01, 0.01, 12, 6), "", "not shown", "a and b show no difference that 6 references can show"),
        (
            Difference(0.015, 0.01, 0.02, 12, 5),
            "",
            "not shown",
            "a and b show no difference that 5 references can show",
        ),
    ],
)
def test_the_verdict_asks_on_which_side_of_zero_the_interval_of_enough_references_lies(
    difference: Difference, verdict: str, agreement: str, words: str
) -> None:
    compared = Compared("a", "b", TEXT, difference)
    assert (compared.verdict, Finding("", compared, "higher").agreement) == (verdict, agreement)
    assert compared.sentence().startswith(words)
    assert Finding("", compared).agreement == ""


def test_course_tells_the_rise_the_peak_and_the_end(tmp_path: Path) -> None:
    assert course(training(tmp_path), "text_adapter") == (
        "Text-Adapter: text alignment goes from 0.204 untrained to 0.251 at step 800, its highest, and is 0.236 at "
        "step 2400 (lower than at step 800: -0.015 [-0.015, -0.015]). Image alignment goes from 0.605 "
        "to 0.409 (lower than at step 0: -0.196 [-0.196, -0.196])."
    )


def test_a_curve_that_only_falls_is_best_and_met_untrained(tmp_path: Path) -> None:
    values = {key: each for key, each in published().items() if "adapter" not in key[0] or key[0] == "ip_adapter"}
    for step in (0, 1):
        values["image_adapter", step] = {**FLAT, "text": [0.3 - 0.1 * step] * 6, "image": [0.5 - step] * 6}
        values["text_adapter", step] = {**FLAT, "text": [0.3 + 0.1 * step] * 6, "image": [0.2 - step] * 6}
    found = training(tmp_path, values)
    assert course(found, "image_adapter").startswith(
        "Image-Adapter: text alignment is highest untrained, at 0.300, and is 0.200 at step 1 (lower"
    )
    levels, at_highest, _ = at_equal_text(found)
    assert levels == pytest.approx((0.3, 0.3))
    assert at_highest.mean == pytest.approx(0.3)


def test_published_curves_at_equal_text_alignment(tmp_path: Path) -> None:
    levels, at_highest, averaged = at_equal_text(training(tmp_path))
    assert levels == pytest.approx((0.204, 0.251))
    # All references differ by a common shift only, so no resample changes the gap.
    assert at_highest[:3] == pytest.approx([0.436 - 0.390] * 3)
    between = np.linspace(0.204, 0.251, 51)
    image = np.interp(between, [0.204, 0.234, 0.251], [0.605, 0.498, 0.436])
    text = np.interp(between, [0.204, 0.248, 0.251], [0.605, 0.488, 0.390])
    assert averaged.mean == pytest.approx((image - text).mean(), abs=1e-9)


def test_first_reached_takes_the_first_of_several_crossings() -> None:
    text = np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 2.0]])
    image = np.array([[4.0, 2.0, 9.0, 9.0], [8.0, 6.0, 4.0, 2.0]])
    assert first_reached(text, image, np.array([0.5, 1.5])) == pytest.approx([3.0, 3.0])
