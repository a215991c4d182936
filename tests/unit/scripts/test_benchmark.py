"""The benchmark measures what it says, on tiny weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.conditions import two_means_keep_mask
from lightning_modules.diffusion.config import Backbone
from scripts.architectures import ARCHITECTURES
from scripts.benchmark import bars_table, listed_parts, main, runtime_table, small_sdxl, write_small_sdxl
from scripts.benchmarks import Bar, Row, grid, spread
from scripts.benchmarks.grid import Grid, compare, measure_grid, measure_processes, pairs_of
from scripts.benchmarks.own_cost import fresh_leaves, measure_runtime, measure_two_means
from scripts.benchmarks.plain import in_top_cluster
from tests.unit.scripts.small_architectures import small

GRID = Grid(references=2, prompts=2, samples=2, batch_size=3, steps=2, turns=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("references") / "data"
    return {"root": str(root), "train_per_style": 1, "test_per_style": 1}


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
    bars = [Bar("", value, "x", 100, at_least, {"spread": "1 / 2 / 3"}) for value in (99.0, 100.0, 101.0)]
    assert [bar.passed for bar in bars] == passed
    assert bars_table(bars, "title").row_count == 3


def test_spread_is_smallest_median_largest() -> None:
    assert spread([3, 1, 2.5]) == "1.00 / 2.50 / 3.00"


def test_two_means_is_compared_with_scikit_learn() -> None:
    [bar] = measure_two_means(1, rows=3, dim=32)
    assert bar.value == pytest.approx(bar.details["sklearn_seconds"] / bar.details["batched_seconds"])
    assert bar.at_least and bar.bar == 100


def test_the_plain_mask_is_the_exact_one() -> None:
    products = torch.randn(20, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    masks = torch.stack([in_top_cluster(row) for row in products])
    assert torch.equal(masks, ~two_means_keep_mask(products))


def test_pairs_are_the_grid(data: dict[str, Any]) -> None:
    pairs = pairs_of(GRID, data)
    assert len(pairs) == 4 == len({pair.name for pair in pairs})
    assert [len(pair.seeds) for pair in pairs] == [2] * 4
    assert len({seed for pair in pairs for seed in pair.seeds}) == 8, "each picture has a noise of its own"
    assert all(pair.image.is_file() and f"a-{pair.content}" in pair.image.name.replace("an-", "a-") for pair in pairs)


def test_both_ways_draw_the_same_on_stable_diffusion(tiny_backbone: Backbone, data: dict[str, Any]) -> None:
    speed, difference = measure_grid("grid", tiny_backbone, data, GRID, 1.3)
    assert difference.passed and difference.details["standard_deviation_of_the_pictures"] > 1, difference
    assert (speed.bar, speed.at_least, speed.details["pictures"]) == (1.3, True, 8)
    ours, theirs = (float(str(speed.details[f"seconds_{who}"]).split()[0]) for who in ("ours", "diffusers"))
    # Both are said with two digits after the point.
    assert theirs - 0.005 <= speed.value * (ours + 0.005) and speed.value * (ours - 0.005) <= theirs + 0.005


def test_both_ways_draw_the_same_on_sdxl(tmp_path: Path, data: dict[str, Any]) -> None:
    _, difference = measure_grid("SDXL", write_small_sdxl(tmp_path, small("sdxl")), data, GRID, 1.0)
    assert difference.passed and difference.details["standard_deviation_of_the_pictures"] > 1, difference


def test_the_small_sdxl_has_the_structure_of_the_large() -> None:
    architecture = small_sdxl()
    unet = architecture.build("unet")
    assert architecture.parts == ARCHITECTURES["sdxl"].parts
    assert unet.config.addition_embed_type == "text_time"
    assert unet.config.down_block_types == ARCHITECTURES["sdxl"].unet["down_block_types"]
    assert unet.num_parameters() > 4 * architecture.build("vae").num_parameters()


def test_pictures_are_compared_by_pair_and_seed(tmp_path: Path) -> None:
    line = {"file": "a.png", "reference": {"key": "3"}, "prompt": "A rocket", "seed": 7}
    for path, level in (
        (tmp_path / "ours/a.png", 10),
        (tmp_path / f"plain/{grid.pair_name('3', 'A rocket')}/7.png", 14),
    ):
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((2, 2, 3), level, dtype=np.uint8)).save(path)
    (tmp_path / "ours/generations-0.jsonl").write_text(json.dumps(line))
    differences, deviation = compare(tmp_path / "ours", tmp_path / "plain")
    assert (differences.max(), differences.min(), deviation) == (4, 4, 0)


@pytest.mark.parametrize("backbone", [Backbone(model="owner/name"), Backbone(text_tower="elsewhere")])
def test_diffusers_needs_one_folder(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match=r"`backbone.model`: comparing .* one folder on disk.*leave out"):
        grid.weights_of(backbone)


def _fake_run(seconds: dict[str, float], pictures: int) -> Callable[[list[str]], float]:
    def run(command: list[str]) -> float:
        if command[2] == "scripts.cli":
            out = Path(command[command.index("--trainer.default_root_dir") + 1])
            out.mkdir()
            for place in range(pictures):
                (out / f"{place}.png").touch()
        return seconds[command[2]]

    return run


@pytest.mark.parametrize(("timed", "how"), [(1, "32 s (median of 1 timed x 4)"), (0, "32 s (all timed)")])
def test_processes_are_multiplied(
    timed: int, how: str, tiny_backbone: Backbone, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"scripts.cli": 2.0, "scripts.benchmarks.plain": 8.0}
    monkeypatch.setattr(grid, "_run", _fake_run(seconds, 8))
    [bar] = measure_processes(tiny_backbone, data, GRID, timed)
    assert (bar.value, bar.bar, bar.details["all_pairs"]) == (16, 10, how)


def test_missing_pictures_are_told(
    tiny_backbone: Backbone, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "_run", _fake_run({"scripts.cli": 1, "scripts.benchmarks.plain": 1}, 3))
    with pytest.raises(RuntimeError, match="`maskst predict` wrote 3 pictures; expected 8"):
        measure_processes(tiny_backbone, data, GRID, 1)


def test_the_commands_draw_what_the_grid_draws(tiny_backbone: Backbone, data: dict[str, Any], tmp_path: Path) -> None:
    """Both run here within this process, which has loaded the libraries already."""
    from scripts import cli
    from scripts.benchmarks import plain

    pairs = pairs_of(GRID, data)
    cli.main(grid.our_command(tiny_backbone, data, GRID, tmp_path / "ours")[3:])
    for pair in pairs:
        plain.main(grid.plain_command(tiny_backbone, pair, GRID, tmp_path / "plain" / pair.name)[3:])
    differences, _ = compare(tmp_path / "ours", tmp_path / "plain")
    assert len(differences) == 8
    assert differences.max() <= 1


def test_options_that_fail_say_so(
    tiny_backbone: Backbone, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: torch.nn.Module) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch.nn.Module, "compile", fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = {row.name: row for row in measure_runtime(tiny_backbone, data, GRID)}
    assert list(rows) == ["plain", "channels_last", "vae_tiling", "bfloat16", "compile", "offload"]
    assert rows["compile"] == Row("compile", [], None, "failed: RuntimeError: no compiler")
    assert rows["offload"].note.startswith("not measured")
    assert all(rows[name].seconds and rows[name].first for name in ("plain", "channels_last", "bfloat16"))
    assert runtime_table(list(rows.values()), "title").row_count == 6


def test_parts_are_words_behind_their_option() -> None:
    assert listed_parts(["--parts", "fit", "grid", "--pictures", "5"]) == ["--parts", "[fit, grid]", "--pictures", "5"]
    assert listed_parts(["--parts", "[fit]"]) == ["--parts", "[fit]"]
    assert listed_parts(["--pictures", "5"]) == ["--pictures", "5"]


def test_chosen_parts_of_a_backbone(
    tiny_backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.benchmark.measure_two_means", lambda _: [Bar("2-means", 120.0, "x", 100, True, {})])
    monkeypatch.setattr("scripts.benchmark.measure_runtime", lambda *_: [Row("plain", [0.5], 1.0)])
    small_run = ["--batch_size", "2", "--fit_steps", "2", "--predict_runs", "1", "--pictures", "5"]
    options = [*small_run, "--sampling_steps", "2", "--parts", "fit", "predict", "two_means", "runtime"]
    main([*options, "--backbone.model", tiny_backbone.model, "--output", str(tmp_path / "b.json")])
    result = json.loads((tmp_path / "b.json").read_text())
    fit, predict, two_means = result["measured"]
    assert result["backbone"] == tiny_backbone.model
    assert fit["value"] == pytest.approx(fit["details"]["step_seconds"] / fit["details"]["bare_unet_seconds"])
    assert (fit["bar"], fit["at_least"], fit["details"]["steps"]) == (1.15, False, 2)
    assert 0 < predict["value"] < 100
    assert (predict["bar"], predict["unit"]) == (85, "%")
    assert two_means["passed"]
    assert result["runtime"] == [{"name": "plain", "seconds": [0.5], "first": 1.0, "note": ""}]
    shown = capsys.readouterr().out
    assert "fit: step / bare UNet" in shown
    assert "at least 85 %" in shown
    assert "options of predict" in shown
