"""Scores against plain numpy and torch.nn.functional."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from callbacks.scoring import functional as scores
from callbacks.scoring.functional import UnitFeatures
from tests.float64 import FEW_ROUNDINGS


def random_features(rows: int = 64, dim: int = 7, seed: int = 0) -> UnitFeatures:
    generator = torch.Generator().manual_seed(seed)
    return UnitFeatures(*(normalize(torch.randn(rows, dim, generator=generator), dim=-1) for _ in range(4)))


def test_cosines() -> None:
    a, b = (torch.randn(5, 7, generator=torch.Generator().manual_seed(k)) for k in range(2))
    found = scores.cosine(normalize(a, dim=-1), normalize(b, dim=-1))
    np.testing.assert_allclose(found, cosine_similarity(a, b), atol=FEW_ROUNDINGS)
    with pytest.raises(ValueError, match=r"`a` and `b` must have the same shape .* got \(5, 7\) and \(1, 7\)"):
        scores.cosine(a, b[:1])


def read_by_numpy(features: UnitFeatures, contents: Tensor) -> dict[str, list[float]]:
    """Every score by its definition, one picture at a time; written without a look at the implementation."""
    rows = zip(*(part.double().numpy() for part in features), strict=True)
    found = defaultdict[str, list[float]](list)
    for i, s, n, p in rows:
        leaked = np.dot(i, n) > np.dot(i, p)
        nearest = all(np.dot(i, n) >= np.dot(i, other) for other in contents.double().numpy())
        found["alignment/text"].append(np.dot(i, p))
        found["alignment/image"].append(np.dot(i, s))
        found["alignment/content"].append(np.dot(i, n))
        found["alignment/style_difference"].append(np.dot(i, s - n))
        found["leakage/leaked"].append(float(leaked))
        found["published/fidelity"].append(float(not leaked))
        found["leakage/leaked_among_all"].append(float(leaked and nearest))
        found["published/style_score"].append(0.0 if leaked else np.dot(i, s - n))
        undefined = leaked or np.dot(s, n) == 0
        found["published/leakage_score"].append(1.0 if undefined else np.dot(i, n) / np.dot(s, n))
    return found


def of_contents(rows: int, contents: int = 5, dim: int = 16) -> tuple[UnitFeatures, Tensor]:
    """Random features whose n are among `contents` unit vectors, which come along."""
    features = random_features(rows, dim)
    known = random_features(contents, dim, seed=7).content
    return features._replace(content=known[torch.arange(rows) % contents]), known


def tied() -> UnitFeatures:
    """i.n = i.p exactly, once with n = p and once with n != p."""
    axis = torch.eye(4)
    between = torch.tensor([0.0, 0.5, 0.5, 0.5**0.5])
    return UnitFeatures(*map(torch.stack, zip((axis[0],) * 4, (between, axis[0], axis[1], axis[2]), strict=True)))


def with_zeros() -> UnitFeatures:
    """Each of i, s, n, p is a row of zeros once, and all of them are at last."""
    features = random_features(rows=5, dim=4)
    for row, part in enumerate(features):
        part[row] = part[4] = 0
    return features


CASES = {
    "random": of_contents(96),
    "one image": of_contents(1),
    "ties": (tied(), tied().content),
    "zero vectors": (with_zeros(), with_zeros().content),
}


@pytest.mark.parametrize("case", CASES)
def test_every_score_equals_numpys_reading_of_its_definition(case: str) -> None:
    features, contents = CASES[case]
    found = {**scores.feature_scores(features), "leakage/leaked_among_all": scores.leaked_among(features, contents)}
    expected = read_by_numpy(features, contents)
    assert found.keys() == expected.keys()
    if case == "random":  # leaks to the own content, to others, and none
        leaked, among = found["leakage/leaked"].sum(), found["leakage/leaked_among_all"].sum()
        assert 20 < leaked < 76 and 5 < among < leaked - 5
    for tag, values in found.items():
        np.testing.assert_allclose(values.double().numpy(), expected[tag], rtol=1e-9, atol=1e-9, err_msg=tag)


def test_leak_among_all_contents_asks_for_the_nearest_content() -> None:
    axis = torch.eye(4)
    prompt, own, other = axis[0], axis[1], axis[2]
    pictures = torch.stack([own + 0.5 * other, other + 0.5 * own, prompt + 0.5 * own])
    features = UnitFeatures(normalize(pictures, dim=-1), axis[3].expand(3, 4), own.expand(3, 4), prompt.expand(3, 4))
    assert scores.feature_scores(features)["leakage/leaked"].tolist() == [True, True, False]
    assert scores.leaked_among(features, torch.stack([own, other])).tolist() == [True, False, False]
    assert scores.leaked_among(features, other[None]).tolist() == [True, False, False]


@pytest.mark.parametrize("spoilt", range(4))
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_no_score_is_computed_from_what_is_not_finite(spoilt: int, value: float) -> None:
    rows = [x.clone() for x in random_features(rows=8)]
    rows[spoilt][3, 0] = value
    features = UnitFeatures(*rows)
    with pytest.raises(ValueError, match="`a` and `b` must be finite"):
        scores.feature_scores(features)


def test_diversity_equals_numpy_and_leaves_out_pictures_without_a_sibling() -> None:
    generated = random_features(rows=12).generated
    generated[3] = 0
    groups = torch.tensor([4, 9, 4, 9, 2, 9, 4, 4, 1, 8, 8, 9])  # 2 and 1 are alone
    values, has_sibling = scores.diversity(generated, groups)
    rows, expected = generated.double().numpy(), []
    for row in range(12):
        others = [rows[k] for k in range(12) if groups[k] == groups[row] and k != row]
        expected.append(1 - np.mean([np.dot(rows[row], other) for other in others]) if others else None)
    assert has_sibling.tolist() == [value is not None for value in expected]
    np.testing.assert_allclose(values, [value for value in expected if value is not None], atol=1e-9)


def test_diversity_is_nought_for_copies_one_for_orthogonal_pictures_and_nothing_for_one() -> None:
    axis = torch.eye(3)
    values, _ = scores.diversity(axis[[0, 0, 1, 2]], torch.tensor([0, 0, 1, 1]))
    assert values.tolist() == [0, 0, 1, 1]
    values, has_sibling = scores.diversity(axis[:1], torch.tensor([0]))
    assert (values.tolist(), has_sibling.tolist()) == ([], [False])
