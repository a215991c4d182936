"""Everything from the drawing of the data to the report, on tiny weights and within this process."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lightning_modules.diffusion.config import Backbone
from scripts import cli
from scripts.reproduction import references, run

STEPS = [0, 1, 2]


@pytest.fixture(scope="module")
def output(tiny_backbone: Backbone, tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a whole run."""
    root = tmp_path_factory.mktemp("reproduction")
    config = {
        "model": {"init_args": {"backbone": {"model": tiny_backbone.model}, "sampling": {"steps": 1}}},
        "data": {
            "init_args": {
                "batch_size": 4,
                "evaluation_references": 2,
                "predict_references": 2,
                "prompts": ["A rocket", "A flower"],
            }
        },
        "scores": {"judge": {"init_args": {"model": str(tiny_judge)}}},
        "trainer": {"accelerator": "cpu", "devices": 1, "enable_model_summary": False},
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(config))
    (root / "short.yaml").write_text(yaml.safe_dump({"trainer": {"max_steps": 2, "val_check_interval": 1}}))

    def in_this_process(command: Sequence[str], *_: object) -> None:
        module, *arguments = command
        if module == "scripts.cli":
            cli.main([argument for argument in arguments if "StageProgress" not in argument][:-3])
        else:
            references.main(arguments)

    patch = pytest.MonkeyPatch()
    patch.setattr("sys.argv", ["maskst"])
    patch.setattr(run, "run_module", in_this_process)
    patch.setattr("scripts.reproduction.stages._QUICK_DRAWN", {"train_per_style": 1, "test_per_style": 1})
    options = ["--config", str(root / "tiny.yaml"), "--fit-config", str(root / "short.yaml")]
    patch.setattr("scripts.reproduction.stages._QUICK_INTERVAL", 1)
    patch.setattr("scripts.reproduction.stages._EVALUATIONS", 3)
    patch.setattr("scripts.reproduction.stages._QUICK", [])
    code = run.main([*options, "--quick", "--output", str(root / "out")])
    patch.undo()
    assert code == 0
    return root / "out"


def test_report_and_figure_are_there(output: Path) -> None:
    assert {"report.html", "figure.png", "figure.svg", "summary.json"} <= {path.name for path in output.iterdir()}
    page = (output / "report.html").read_text()
    for expected in ("A rocket", "this project&#x27;s BoundedContrast, not the published objective", "quick variant"):
        assert expected in page
    assert page.count('class="scroll wide"') == 1  # the curves
    grids = page[page.index('<section id="grids">') : page.index('<section id="run">')]
    assert grids.count("data:image/jpeg") == 3 + 2 * len(STEPS)
    for section in ("trade-off", "scores", "pictures", "masks", "published"):
        assert f'<section id="{section}">' in page


def test_the_strengths_of_all_methods_and_the_trained_adapters_are_scored(output: Path) -> None:
    about = json.loads((output / "runs" / "sweep" / "scores" / "scores.json").read_text())
    counts = Counter(group["method"] for group in about["groups"])
    assert counts == {
        "ip_adapter": 5,
        "instantstyle": 5,
        "masking": 1,
        "quantile_masking": 6,
        "image_adapter": 1,
        "text_adapter": 1,
    }
    assert {group["pictures"] for group in about["groups"]} == {4}


def test_the_figure_is_wide(output: Path) -> None:
    with Image.open(output / "figure.png") as figure:
        assert figure.width > 2 * figure.height


def test_summary_holds_every_evaluation_and_setting(output: Path) -> None:
    summary = json.loads((output / "summary.json").read_text())
    found = [(each["method"], each["step"]) for each in summary["evaluations"]]
    trained = [(method, step) for method in ("image_adapter", "text_adapter") for step in STEPS]
    assert found == [("ip_adapter", 0), ("instantstyle", 0), ("masking", 0), *trained]
    assert summary["about"]["references"] == "train 100 (skipped 0), test 100 (skipped 0)"
    assert summary["about"]["training"] == "2 steps of 4 references, evaluated every 1 steps"
    assert summary["folder"]["variant"] == "quick"
    assert set(summary["seconds"]) == {
        "dataset",
        "IP-Adapter, evaluation",
        "InstantStyle, evaluation",
        "Masking, evaluation",
        "Image-Adapter, training",
        "Text-Adapter, training",
        "strengths of all methods",
    }
    assert summary["commands"]["Masking, evaluation"].startswith(
        "maskst validate --config configs/predict/masking.yaml"
    )


def test_evaluations_of_all_methods_are_of_the_same_pictures(output: Path) -> None:
    summary = json.loads((output / "summary.json").read_text())
    assert {each["images"] for each in summary["evaluations"]} == {4}
    assert len({tuple(each["references"]) for each in summary["evaluations"]}) == 1
    masking = json.loads((output / "stages" / "masking.json").read_text())
    assert masking["was_interrupted"] is False
    assert masking["peak_memory_gib"] > 0
