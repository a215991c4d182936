"""The words follow the numbers, whichever way they fall."""

from pathlib import Path

import pytest

from scripts.reproduction.findings import compare, course, find, number
from scripts.reproduction.results import IMAGE, LEAKED, TEXT
from tests.unit.scripts.reproduction.synthetic import evaluated, published_results


def test_the_published_numbers_show_the_published_readings(tmp_path: Path) -> None:
    findings = find(published_results(tmp_path))
    assert [each.agreement for each in findings.published] == ["seen"] * 7
    assert findings.headline.startswith("Of 7 published readings 7 are seen here")
    sentence = findings.tuning_free[0].sentence
    assert sentence == (
        "Masking has a higher text alignment than InstantStyle: 0.237 against 0.220 "
        "(+0.017, 95 % interval +0.017 to +0.017)."
    )
    leak = findings.tuning_free[6].sentence
    assert leak.startswith("Masking has a lower leak rate than InstantStyle: 10.0 % against 20.0 % (-10.0 points,")
    assert findings.curves[0].sentence.startswith(
        "Where both curves first reach a text alignment of 0.251, the highest that both reach, "
        "Image-Adapter has a higher image alignment than Text-Adapter (+0.046,"
    )
    # On the way up it is the other way round, which the figure shows too.
    assert findings.curves[1].difference.verdict == "lower"
    assert [each.sentence.split(" has ")[0] for each in findings.tuned[:2]] == ["Masking", "Masking"]
    assert "Image-Adapter at step 800" in findings.tuned[0].sentence


def test_reversed_numbers_show_the_opposite(tmp_path: Path) -> None:
    results = published_results(tmp_path)
    free = results.tuning_free
    swapped = {"ip_adapter": free["masking"], "instantstyle": free["instantstyle"], "masking": free["ip_adapter"]}
    renamed = {method: each._replace(method=method) for method, each in swapped.items()}
    findings = find(results._replace(tuning_free=renamed))
    assert [each.agreement for each in findings.published[:6]] == ["the opposite"] * 6
    assert findings.tuning_free[0].sentence.startswith("Masking has a lower text alignment than InstantStyle: 0.205")
    assert findings.tuning_free[0].claim == "Masking has a higher text alignment than InstantStyle."


def test_a_tie_is_said_with_the_number_of_references() -> None:
    a = evaluated("masking", 0, text=[0.1, 0.3, 0.2, 0.2])
    b = evaluated("ip_adapter", 0, text=[0.3, 0.1, 0.2, 0.2])
    found = compare(a, b, TEXT, published="higher")
    start = (
        "Masking and IP-Adapter show no difference that 4 references can show in text alignment: 0.200 against 0.200 ("
    )
    assert found.sentence.startswith(start)
    assert found.agreement == "not shown"


def test_course_tells_the_rise_the_peak_and_the_end(tmp_path: Path) -> None:
    words = course(published_results(tmp_path).curves["text_adapter"])
    assert words == (
        "Text-Adapter: text alignment goes from 0.204 untrained to 0.251 at step 800, its highest, and is 0.236 at "
        "step 2400 (lower than at step 800: -0.015, 95 % interval -0.015 to -0.015). Image alignment goes from 0.605 "
        "to 0.409 (lower than at step 0: -0.196, 95 % interval -0.196 to -0.196)."
    )


def test_course_of_a_curve_that_only_falls() -> None:
    curve = [evaluated("image_adapter", step, text=[0.3 - step] * 2, image=[0.5] * 2) for step in (0, 0.1)]
    assert course(curve).startswith(
        "Image-Adapter: text alignment is highest untrained, at 0.300, and is 0.200 at step"
    )


@pytest.mark.parametrize(
    ("value", "tag", "signed", "words"),
    [
        (0.25149, TEXT, False, "0.251"),
        (-0.02, IMAGE, True, "-0.020"),
        (0.125, LEAKED, False, "12.5 %"),
        (-1e-9, LEAKED, True, "+0.0 points"),
    ],
)
def test_number(value: float, tag: str, signed: bool, words: str) -> None:
    assert number(value, tag, signed) == words
    assert number(0.1, LEAKED, signed=True) == "+10.0 points"
