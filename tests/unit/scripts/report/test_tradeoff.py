"""The trade-off figure: its curves, what they show, and their labels."""

import pytest
from matplotlib.colors import to_hex

from callbacks.scoring.scored import Group, Scored
from scripts.report import tradeoff
from scripts.report.page import svg
from scripts.report.tables import IMAGE, LEAKED_AMONG_ALL, TEXT
from scripts.report.tradeoff import INK, curves
from tests.unit.scripts.report.scored_folder import CLIP, LEVELS, THETAS

TAGS = LEAKED_AMONG_ALL, IMAGE


def test_each_scale_of_a_grid_is_a_curve_along_its_strength_that_fades(scored: Scored) -> None:
    found = [each for each in curves(scored.groups) if each.method == "instantstyle"]
    assert [each.series for each in found] == [f"scale {scale}" for scale in LEVELS]
    assert [each.opacity for each in found] == pytest.approx([1.0, 0.7, 0.4])
    assert [each.label(group) for each in found[:1] for group in each.groups] == [f"λ {value}" for value in LEVELS]


def test_words_are_dashed_curves_and_methods_without_a_number_single_points(scored: Scored) -> None:
    found = {(each.method, each.series): each for each in curves(scored.groups)}
    high, low = found["quantile_masking", "drop high"], found["quantile_masking", "drop low"]
    assert [high.dashed, low.dashed, high.opacity, low.opacity] == [False, True, 1, 1]
    assert [group.varied["condition.theta"] for group in low.groups] == sorted(THETAS, reverse=True)
    assert [found["masking", ""].along, found["ip_adapter", ""].along] == ["", "scale"]


def test_true_and_false_are_no_numbers() -> None:
    groups = [Group("instantstyle", str(flag), {"condition.norm_matched": flag}, 1, {}) for flag in (False, True)]
    assert [each.dashed for each in curves(groups)] == [False, True]


def test_the_figure_draws_every_setting_at_its_two_means_with_both_intervals(scored: Scored) -> None:
    [axis] = tradeoff.draw(scored, CLIP).axes
    drawn = {point for line in axis.lines if line.get_marker() in "s*oD" for point in map(tuple, line.get_xydata())}
    found = {group.title: [scored.estimate(group, CLIP, tag) for tag in TAGS] for group in scored.groups}
    assert drawn == {tuple(each.mean for each in both if each) for both in found.values()}
    leak, style = found["Masking"]
    assert leak and style
    colour = tradeoff.method_styles(["masking"])["masking"][0]
    bars = [each.get_segments() for each in axis.collections if to_hex(each.get_edgecolor()[0]) == colour]
    assert [[list(map(tuple, segment)) for [segment] in bars]] == [
        [
            [(pytest.approx(leak.low), style.mean), (pytest.approx(leak.high), style.mean)],
            [(leak.mean, pytest.approx(style.low)), (leak.mean, pytest.approx(style.high))],
        ]
    ]


def test_the_better_corner_follows_the_scores(scored: Scored) -> None:
    texts = [
        [text.get_text() for text in tradeoff.draw(scored, CLIP, leak_tag=tag).axes[0].texts]
        for tag in (LEAKED_AMONG_ALL, TEXT)
    ]
    assert "↖ better" in texts[0] and "better ↗" in texts[1]


def test_unknown_methods_have_styles_of_their_own() -> None:
    styles = tradeoff.method_styles(["masking", "mine", "instantstyle", "yours"])
    assert len(set(styles.values())) == 4


def test_labels_do_not_overlap(scored: Scored) -> None:
    figure = tradeoff.draw(scored, CLIP)
    figure.canvas.draw()
    boxes = [text.get_window_extent().shrunk(0.9, 0.8) for text in figure.axes[0].texts]
    assert len(boxes) > 6
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_svg_follows_the_colour_scheme_and_is_the_same_each_time(scored: Scored) -> None:
    first, second = (svg(tradeoff.draw(scored, CLIP)).decode() for _ in range(2))
    assert first == second
    assert first.count(INK) == 1 and "var(--ink)" in first and "prefers-color-scheme:dark" in first
    assert "IP-Adapter" in first  # text, not outlines
