"""Every method on a reduced SDXL, by the command line; its equality to diffusers is tested with the networks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightning_modules.diffusion.config import Backbone
from scripts.commands import Commands
from tests.integration.conftest import Run, evaluations

METHODS = ["ip_adapter", "instantstyle", "masking", "masking_quantile_sdxl", "image_adapter", "text_adapter"]


@pytest.fixture(scope="module")
def xl(run: Run, tiny_sdxl: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs a subcommand on the reduced SDXL, with SDXL's own settings of sampling."""
    values = {"backbone": {"model": tiny_sdxl.model}, "sampling": {"scheduler": "EulerDiscreteScheduler"}}
    path = tmp_path_factory.mktemp("sdxl_config") / "sdxl.yaml"
    path.write_text(yaml.safe_dump({"model": {"init_args": values}}))

    def run_xl(command: str, configs: str, folder: Path, *more: str) -> Commands:
        return run(command, configs, folder, "--config", str(path), *more)

    return run_xl


@pytest.fixture(scope="module")
def trained(xl: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of both adapters, trained for two steps on SDXL."""
    root = tmp_path_factory.mktemp("xl_fits")
    for name in ("image_adapter", "text_adapter"):
        steps = ("--trainer.max_steps=2", "--trainer.val_check_interval=2", "--data.prompts=[A rocket]")
        xl("fit", f"fit/{name}", root / name, *steps, "--model.sampling.steps=1")
    return {folder.name: folder for folder in root.iterdir()}


def test_adapters_train_in_the_sizes_of_sdxl(trained: dict[str, Path], tiny_sdxl: Backbone) -> None:
    unet = json.loads((Path(tiny_sdxl.model) / "unet" / "config.json").read_text())
    for name, folder in trained.items():
        checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        weight = checkpoint["state_dict"]["condition.adapter.proj.weight"]
        assert weight.shape[1] == (unet["cross_attention_dim"] if name == "text_adapter" else weight.shape[0])
        assert [step for _, step, _ in evaluations(folder)] == [0, 2]


@pytest.mark.parametrize("method", METHODS)
def test_predict_draws_with_every_method(method: str, xl: Any, trained: dict[str, Path], tmp_path: Path) -> None:
    checkpoint = [f"--model.condition.checkpoint={trained[method]}/checkpoints/last.ckpt"] if method in trained else []
    blocks = ("--model.sampling.target_blocks=style", "--data.prompts=[A rocket]")
    xl("predict", f"predict/{method}", tmp_path, *blocks, *checkpoint)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["sampling"]["target_blocks"] == "style"
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_several_and_negative_references(xl: Any, tmp_path: Path) -> None:
    mix = ("--model.mix.combine=tokens", "--model.mix.weights=[2, 1]", "--data.references_per_picture=2")
    xl("predict", "predict/masking", tmp_path / "a", *mix, "--data.prompts=[A rocket]")
    [picture] = (tmp_path / "a").glob("*.png")
    against = (f"--data.negative_references=[{picture}]", "--data.prompts=[A rocket]")
    xl("predict", "predict/masking", tmp_path / "b", *against)
    [line] = [json.loads(line) for line in (tmp_path / "b" / "generations-0.jsonl").read_text().splitlines()]
    assert [negative["style"] for negative in line["negatives"]] == ["negative"]
    [other] = (tmp_path / "b").glob("*.png")
    assert picture.read_bytes() != other.read_bytes()
