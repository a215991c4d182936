"""Numbers and their intervals as text."""

import pytest

from callbacks.scoring.bootstrap import Difference
from callbacks.scoring.metrics import Estimate
from scripts.report.cells import TAGS, Cell, Table, number, tag_of
from tests.unit.scripts.report.scored_folder import SCORES

RATE, COSINE = "leakage/leaked", "alignment/text"


@pytest.mark.parametrize(
    ("value", "tag", "signed", "shown"),
    [
        (0.41666, RATE, False, "41.7"),
        (0.2525, COSINE, False, "0.253"),
        (-0.0625, COSINE, True, "-0.062"),
        (0.0219, COSINE, True, "+0.022"),
        (-0.00001, COSINE, True, "+0.000"),
        (-0.00001, RATE, False, "0.0"),
        (1.0, RATE, False, "100.0"),
    ],
)
def test_number(value: float, tag: str, signed: bool, shown: str) -> None:
    assert number(value, tag, signed) == shown


def test_an_estimate() -> None:
    cell = Cell.of(RATE, Estimate(0.4, 0.25, 0.5, [0, 3], [0.2, 0.6], [5, 5]))
    assert isinstance(cell, Cell)
    assert (cell.value, cell.interval, cell.n) == ("40.0 %", "[25.0, 50.0]", 10)


def test_one_reference_has_no_interval() -> None:
    cell = Cell.of(COSINE, Estimate(0.4, 0.4, 0.4, [3], [0.4], [5]))
    assert isinstance(cell, Cell)
    assert (cell.value, cell.interval, cell.n) == ("0.400", "", 5)


def test_a_difference_is_signed_and_of_rates_in_points() -> None:
    rate, cosine = (Cell.of(tag, Difference(0.022, -0.01, 0.034, 7, 3)) for tag in (RATE, COSINE))
    assert isinstance(rate, Cell) and isinstance(cosine, Cell)
    assert (rate.value, rate.interval, rate.n) == ("+2.2", "[-1.0, +3.4]", 7)
    assert (cosine.value, cosine.interval) == ("+0.022", "[-0.010, +0.034]")


def test_nothing_is_a_dash() -> None:
    assert Cell.of(RATE, None) == "–"


def test_every_score_has_a_name_and_published_ones_say_so() -> None:
    assert set(SCORES) < set(TAGS)
    assert all(TAGS[tag].title.startswith("published ") == tag.startswith("published/") for tag in SCORES)
    assert tag_of("leakage/leaked").header == "leak rate ↓"
    assert tag_of("published/fidelity").header == "published fidelity ↑"
    assert tag_of("somebody/else").header == "somebody/else"


def test_usual_n_is_the_most_common() -> None:
    cells = [Cell(RATE, 0.5, None, None, n) for n in (3, 8, 8)]
    assert Table("name", "title", "", ["method", "a", "b", "c"], [["x", *cells]]).usual_n == 8
    assert Table("name", "title", "", ["method"], [["x"]]).usual_n is None
