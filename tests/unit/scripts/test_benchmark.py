"""The benchmark measures what it says, on tiny weights."""

import json
from pathlib import Path

import pytest
import torch

from lightning_modules.diffusion.config import Backbone
from scripts.benchmark import Bar, as_table, fresh_leaves, main, measure_two_means


def test_fresh_leaves_need_gradients_where_the_originals_did() -> None:
    weight = torch.ones(2, requires_grad=True)
    inputs = (torch.zeros(2), {"states": (weight * 2, [weight + 1]), "return_dict": False})
    tensor, options = fresh_leaves(inputs)
    states, (tokens,) = options["states"]
    assert not tensor.requires_grad
    assert states.is_leaf and tokens.is_leaf and states.requires_grad and tokens.requires_grad
    assert (states.tolist(), tokens.tolist(), options["return_dict"]) == ([2.0, 2.0], [2.0, 2.0], False)


@pytest.mark.parametrize(("at_least", "passed"), [(True, [False, True, True]), (False, [True, True, False])])
def test_a_bar_has_a_right_side(at_least: bool, passed: list[bool]) -> None:
    bars = [Bar("", value, "x", 100, at_least, {}) for value in (99.0, 100.0, 101.0)]
    assert [bar.passed for bar in bars] == passed
    assert as_table(bars, "title").row_count == 3


def test_two_means_is_compared_with_scikit_learn() -> None:
    bar = measure_two_means(1, rows=3, dim=32)
    assert bar.value == pytest.approx(bar.details["sklearn_seconds"] / bar.details["batched_seconds"])
    assert bar.at_least and bar.bar == 100


def test_all_numbers_of_a_backbone(
    tiny_backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.benchmark.measure_two_means", lambda _: Bar("2-means", 120.0, "x", 100, True, {}))
    small = ["--batch_size", "2", "--fit_steps", "2", "--predict_runs", "1", "--pictures", "5", "--sampling_steps", "2"]
    main([*small, "--backbone.model", tiny_backbone.model, "--output", str(tmp_path / "b.json")])
    result = json.loads((tmp_path / "b.json").read_text())
    fit, predict, two_means = result["measured"]
    assert result["backbone"] == tiny_backbone.model
    assert fit["value"] == pytest.approx(fit["details"]["step_seconds"] / fit["details"]["bare_unet_seconds"])
    assert (fit["bar"], fit["at_least"], fit["details"]["steps"]) == (1.15, False, 2)
    assert 0 < predict["value"] < 100
    assert (predict["bar"], predict["unit"]) == (85, "%")
    assert two_means["passed"]
    shown = capsys.readouterr().out
    assert "fit: step / bare UNet" in shown
    assert "at least 85 %" in shown
