"""StyleShot by its configs: both stages of training, and the nine published rows on the shipped weights."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lightning_modules.diffusion.config import MINIATURE
from scripts.cli import main
from tests.integration.conftest import evaluations

SMALL_PATCHES = json.dumps({"channels": [[4] * 7, [4] * 6, [4] * 5], "unshuffle": 1})
METHODS = {"styleshot": "styleshot", "instantstyle_norm_matched": "instantstyle", "masking": "masking"}
FEW = ("--data.predict_references=1", "--model.sampling.steps=2")
DATA = {
    "": ("--data.test_per_style=1", "--data.train_per_style=1", "--data.prompts=[A rocket]"),
    "miniature_style_bench": ("--data.per_style=1", "--data.prompts=[A rocket]"),
    "miniature_style_bench_images": ("--data.per_style=1",),
}


@pytest.fixture
def tiny_model(tiny_config: Path, tmp_path: Path) -> str:
    """The tiny config without its data."""
    said = yaml.safe_load(tiny_config.read_text())
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({key: said[key] for key in ("model", "scores", "trainer")}))
    return f"--config={tmp_path}/model.yaml"


@pytest.mark.parametrize("stage", ["style_encoder", "content_fusion"])
def test_both_stages_are_trained_and_exported(
    stage: str, tiny_model: str, tiny_styleshot: list[str], tmp_path: Path
) -> None:
    drawn = (f"--data.folder={tmp_path}/captioned", "--data.per_pair=1", "--data.batch_size=4")
    evaluated = ("--data.evaluation_references=2", "--data.prompts=[A rocket]", "--trainer.val_check_interval=1")
    own = [f"--model.patches={SMALL_PATCHES}"]
    if stage == "content_fusion":
        own = [*tiny_styleshot, "--model.map_channels=[4, 8]"]
    out = f"--trainer.default_root_dir={tmp_path}/{{method}}"
    fit = ("fit", f"--config=configs/fit/{stage}.yaml", tiny_model, out, "--trainer.max_steps=2")
    main([*fit, *drawn, *evaluated, *own])
    folder = tmp_path / stage
    assert [found[:2] for found in evaluations(folder)] == [(stage, step) for step in range(3)]
    main(["export", str(folder / "checkpoints" / "last.ckpt"), str(tmp_path / "exported"), "--half"])
    files = {"style_aware_encoder.safetensors", "ip.safetensors"} if stage == "style_encoder" else {"ip.safetensors"}
    assert {path.name for path in (tmp_path / "exported").iterdir()} == files


@pytest.mark.skipif(not (MINIATURE / "styleshot").is_dir(), reason="weights/miniature/styleshot is not there")
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("method", METHODS)
def test_each_published_row_is_one_command(
    method: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layers = [f"predict/{method}", "backbone/miniature_styleshot", *([f"data/{data}"] if data else [])]
    main(["predict", *(f"--config=configs/{layer}.yaml" for layer in layers), *DATA[data], *FEW])
    name = METHODS[method] + ("_edges" if data.endswith("images") else "")
    folder = tmp_path / "outputs" / "styleshot_miniature" / "predict" / name
    pictures = list(folder.glob("*.png"))
    assert len(pictures) == (10 if data.endswith("images") else 1)
    assert {Image.open(path).size for path in pictures} == {(64, 64)}
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["backbone"]["style_encoder"].startswith("miniature/styleshot/")
    assert ("detector" in settings) == data.endswith("images")
