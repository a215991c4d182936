"""Sentences about style and leakage follow the intervals."""

from pathlib import Path

import pytest

from callbacks.scoring.bootstrap import Difference
from callbacks.scoring.scored import Group, Scored
from scripts.report.claims import Against, claims, front
from tests.unit.scripts.report.scored_folder import CLASSIFIER, CLIP, Plan, write_scored_folder

GROUP = Group("ip_adapter", "", {}, 1, {})
MORE, LESS, SAME, OPEN = (Difference(*each, 60, 12) for each in ((2, 1, 3), (-2, -3, -1), (0, 0, 0), (0.5, -1, 2)))


@pytest.mark.parametrize(
    ("style", "leak", "directions", "is_better"),
    [
        (MORE, LESS, ("more", "less"), True),
        (MORE, SAME, ("more", ""), True),
        (OPEN, LESS, ("", "less"), True),
        (LESS, MORE, ("less", "more"), False),
        (MORE, MORE, ("more", "more"), False),
        (LESS, LESS, ("less", "less"), False),
        (LESS, OPEN, ("less", ""), False),
        (OPEN, SAME, ("", ""), False),
        (MORE._replace(references=5), LESS._replace(references=5), ("", ""), False),  # too few
    ],
)
def test_directions_follow_the_intervals(
    style: Difference, leak: Difference, directions: tuple[str, str], is_better: bool
) -> None:
    against = Against(GROUP, style, leak)
    assert (against.directions, against.is_better) == (directions, is_better)


def test_the_front_holds_the_settings_that_none_of_their_method_beats(tmp_path: Path) -> None:
    scored = Scored.read(write_scored_folder(tmp_path, pictures=False))
    for method, groups in front(scored, CLIP).items():
        members = [group for group in scored.groups if group.method == method]
        means = {g.setting: _means(scored, g) for g in members}
        for group in members:
            style, leak = means[group.setting]
            beaten = any((s >= style and k <= leak) and (s, k) != (style, leak) for s, k in means.values())
            assert (group in groups) is not beaten


def test_claims_compare_each_method_with_two_means(tmp_path: Path) -> None:
    plans = [Plan("masking", {}, 0.4, 0.3), Plan("ip_adapter", {}, 1.0)]
    base, other = claims(Scored.read(write_scored_folder(tmp_path, plans, pictures=False)), CLIP)
    assert base.startswith("Masking, which the others are compared with: image alignment 0.5")
    assert other.startswith("IP-Adapter: more image alignment, more leakage. Paired differences: image alignment +0.1")


def test_settings_are_counted_and_the_nearest_in_leakage_is_named(tmp_path: Path) -> None:
    scales = [Plan("ip_adapter", {"sampling.scale": scale}, scale) for scale in (1.0, 0.39)]
    plans = [Plan("masking", {}, 0.4, 0.3), *scales]
    [_, told] = claims(Scored.read(write_scored_folder(tmp_path, plans, pictures=False)), CLIP)
    assert told.startswith("The 2 settings of IP-Adapter: 1 with more image alignment, more leakage; ")
    assert "Nearest in leak rate, scale 0.39: " in told


def test_another_grid_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    scored = Scored.read(write_scored_folder(tmp_path, pictures=False))
    lost = next(group for group in scored.groups if group.method == "ip_adapter")
    real = scored.difference

    def difference(a: Group, b: Group, judge: str, tag: str) -> Difference:
        if a == lost:
            raise ValueError("`b` lacks 3")
        return real(a, b, judge, tag)

    scored.difference = difference  # type: ignore[method-assign]
    told = claims(scored, CLIP)
    assert "IP-Adapter cannot be compared in pairs: `b` lacks 3" in told
    assert any(sentence.startswith("The 9 settings of InstantStyle") for sentence in told)


def test_a_judge_without_these_scores_claims_nothing(tmp_path: Path) -> None:
    assert claims(Scored.read(write_scored_folder(tmp_path, pictures=False)), CLASSIFIER) == []


def _means(scored: Scored, group: Group) -> tuple[float, float]:
    style, leak = (scored.estimate(group, CLIP, tag) for tag in ("alignment/image", "leakage/leaked_among_all"))
    assert style and leak
    return style.mean, leak.mean
