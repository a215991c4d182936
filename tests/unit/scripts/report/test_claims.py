"""Sentences about style and leakage follow the intervals."""

from pathlib import Path

import pytest

from callbacks.scoring.bootstrap import Difference
from callbacks.scoring.scored import Group, Scored
from scripts.report.claims import Against, Compared, claims, front
from scripts.report.tables import IMAGE, LEAKED
from tests.unit.scripts.report.scored_folder import CLASSIFIER, CLIP, PLANS, Plan, written

MASKING = Plan("masking", {}, 0.4, 0.3)
MORE, LESS, SAME, OPEN = (Difference(*each, 60, 12) for each in ((2, 1, 3), (-2, -3, -1), (0, 0, 0), (0.5, -1, 2)))


@pytest.mark.parametrize(
    ("style", "leak", "verdicts", "is_better"),
    [
        (MORE, LESS, ("higher", "lower"), True),
        (MORE, SAME, ("higher", ""), True),
        (OPEN, LESS, ("", "lower"), True),
        (LESS, MORE, ("lower", "higher"), False),
        (MORE, MORE, ("higher", "higher"), False),
        (LESS, LESS, ("lower", "lower"), False),
        (LESS, OPEN, ("lower", ""), False),
        (OPEN, SAME, ("", ""), False),
        (MORE._replace(references=5), LESS._replace(references=5), ("", ""), False),  # too few
    ],
)
def test_verdicts_follow_the_intervals(
    style: Difference, leak: Difference, verdicts: tuple[str, str], is_better: bool
) -> None:
    pair = Compared("a", "b", IMAGE, style), Compared("a", "b", LEAKED, leak)
    assert (pair[0].verdict, pair[1].verdict) == verdicts
    assert Against(Group("ip_adapter", "", {}, 1, {}), *pair).is_better == is_better


def test_the_front_holds_the_settings_that_none_of_their_method_beats(scored: Scored) -> None:
    tags = "alignment/image", "leakage/leaked_among_all"
    for method, groups in front(scored, CLIP).items():
        members = [group for group in scored.groups if group.method == method]
        means = [[found.mean for tag in tags if (found := scored.estimate(group, CLIP, tag))] for group in members]
        for group, (style, leak) in zip(members, means, strict=True):
            beaten = any(s >= style and k <= leak and (s, k) != (style, leak) for s, k in means)
            assert (group in groups) is not beaten


def test_claims_compare_each_method_with_two_means(tmp_path: Path) -> None:
    base, other = claims(written(tmp_path, MASKING, Plan("ip_adapter", {}, 1.0)), CLIP)
    assert base.startswith("Masking, which the others are compared with: image alignment 0.5")
    assert other.startswith(
        "IP-Adapter: higher image alignment, higher leakage. Paired differences: image alignment +0.1"
    )


def test_settings_are_counted_and_the_nearest_in_leakage_is_named(tmp_path: Path) -> None:
    scales = [Plan("ip_adapter", {"sampling.scale": scale}, scale) for scale in (1.0, 0.39)]
    [_, told] = claims(written(tmp_path, MASKING, *scales), CLIP)
    assert told.startswith("The 2 settings of IP-Adapter: 1 with higher image alignment, higher leakage; ")
    assert "Nearest in leak rate, scale 0.39: " in told


def test_another_grid_is_said_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = written(tmp_path, *PLANS)
    real = scored.difference

    def difference(a: Group, b: Group, judge: str, tag: str) -> Difference:
        if a.method == "ip_adapter":
            raise ValueError("`b` lacks 3")
        return real(a, b, judge, tag)

    monkeypatch.setattr(scored, "difference", difference)
    told = claims(scored, CLIP)
    assert "IP-Adapter cannot be compared in pairs: `b` lacks 3" in told
    assert any(sentence.startswith("The 9 settings of InstantStyle") for sentence in told)


def test_a_judge_without_these_scores_claims_nothing(scored: Scored) -> None:
    assert claims(scored, CLASSIFIER) == []
