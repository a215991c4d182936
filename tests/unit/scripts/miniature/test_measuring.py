"""What is measured on the miniature: masking on features whose content and style are known, and shares beside bars."""

import pytest
import torch
from torch.nn.functional import one_hot

from lightning_modules.conditions import Masking
from scripts.miniature.masking_study import METHODS, Drawings, left, rotated, rotations, study, table, variance_shares
from scripts.miniature.measure import Row, judged
from scripts.miniature.measure_styleshot import leak_at_style
from tests.float64 import assert_same

CONTENTS, STYLES, EACH = 4, 3, 2


def drawings(seed: int) -> Drawings:
    """Elements 0 .. 3 tell the content, 4 .. 6 the style, 7 nothing."""
    content = one_hot(torch.arange(CONTENTS), 8).double()[:, None, None]
    style = one_hot(torch.arange(STYLES) + 4, 8).double()[None, :, None]
    noise = torch.randn(CONTENTS, STYLES, EACH, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Drawings(content + style + 0.05 * noise, one_hot(torch.arange(CONTENTS), 8).double() + 0.01)


def test_variance_is_shared_out_between_content_and_style() -> None:
    features = drawings(0).features
    content, style = variance_shares(features)
    assert all(content[:4] > 0.9)
    assert all(style[4:7] > 0.9)
    by_hand = features[..., 2].mean((1, 2)).var(correction=0) / features[..., 2].var(correction=0)
    assert float(content[2]) == pytest.approx(float(by_hand))


def test_masking_takes_the_content_where_elements_tell_only_it() -> None:
    test, known = drawings(0), drawings(1)
    rows = study(test, known)
    assert list(rows) == list(METHODS)
    whole, masked = rows["IP-Adapter"], rows["Masking, 2-means"]
    assert whole["content recognised"] == 1
    assert masked["content recognised"] <= 1 / CONTENTS  # no more than chance
    assert masked["cosine with style"] > whole["cosine with style"]
    assert masked["dropped"] == pytest.approx(1 / 8)
    assert masked["content share of dropped"] > 0.9 > masked["content share of kept"]
    assert masked["cosine with style, other bases"] < masked["cosine with style"]


def test_a_feature_at_its_class_means_has_cosines_by_hand() -> None:
    known = drawings(1)
    features, _ = drawings(0).rows
    recognised, to_content, to_style = left(features, known)
    centre = known.features.mean((0, 1, 2))
    means = known.features.mean((0, 2)) - centre
    own = means.repeat_interleave(EACH, dim=0).repeat(CONTENTS, 1)
    expected = torch.cosine_similarity(features - centre, own).mean()
    assert (recognised, to_style) == (1.0, pytest.approx(float(expected)))
    assert 0 < to_content < 1


def test_a_basis_of_its_own_changes_nothing_and_bases_are_orthonormal() -> None:
    features, words = drawings(0).rows
    identity = torch.eye(8, dtype=torch.float64)
    expected = Masking()(features, words).feature
    assert_same(rotated(Masking(), identity)(features, words), expected)
    for basis in rotations(8):
        assert_same(basis @ basis.T, identity)


def test_the_table_leaves_out_what_a_method_has_not() -> None:
    rows = {"a": {"x": 0.5}, "b": {"x": 0.25, "y": 1.0}}
    assert table(rows) == "| | x | y |\n|---|---|---|\n| a | 0.500 |  |\n| b | 0.250 | 1.000 |"


@pytest.mark.parametrize(
    ("bar", "shown", "holds"),
    [
        (">= 0.50", ">= 0.50", True),
        ("<= 0.4", "<= 0.4", False),
        (">= 0.51", ">= 0.51", False),
        ("< other", "< 0.500", False),
    ],
)
def test_a_detail_is_judged_by_a_number_or_by_another(bar: str, shown: str, holds: bool) -> None:
    assert judged("what", {"one": 0.5, "other": 0.5}, "one", bar) == Row("what", 0.5, shown, holds)


@pytest.mark.parametrize(("style", "leak"), [(0.1, 0.2), (0.4, 0.3), (0.5, 0.4), (0.9, 0.6)])
def test_the_leak_at_a_style_lies_between_two_scales(style: float, leak: float) -> None:
    assert leak_at_style([(0.7, 0.6), (0.3, 0.2)], style) == pytest.approx(leak)
