"""Runs of `maskst` on the tiny backbone: a config that stacks as any backbone's does, and two finished fits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from callbacks.scoring.scored import Scored
from lightning_modules.diffusion.config import Backbone
from scripts.cli import ROOT
from scripts.commands import Commands
from tests.unit.lightning_modules.styleshot.reference import HEADS, random_encoder
from tests.unit.lightning_modules.styleshot.test_weights import ip_bin

CONFIGS = ROOT / "configs"
Run = Callable[..., Commands]


def evaluations(folder: Path) -> list[tuple[str, int | None, dict[str, float]]]:
    """Method, step and mean scores of each evaluation of a run, by steps."""
    scored = Scored.read(folder)
    [judge] = scored.judges
    return [
        (group.method, group.step, {tag: scored.values(group, judge, tag)[0].mean() for tag in scored.tags(judge)})
        for group in sorted(scored.groups, key=lambda group: group.step or 0)
    ]


@pytest.fixture(scope="session")
def tiny_config(tiny_backbone: Backbone, tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone's config: tiny random weights, two denoising steps, two references x two prompts."""
    folder = tmp_path_factory.mktemp("configs")
    data = {"root": str(folder / "miniature"), "train_per_style": 1, "test_per_style": 1, "batch_size": 4}
    jobs = {"prompts": ["A rocket", "A flower"], "evaluation_references": 2, "predict_references": 1}
    config = {
        "model": {"init_args": {"backbone": {"model": tiny_backbone.model}, "sampling": {"steps": 2}}},
        "data": {"init_args": data | jobs},
        "scores": {"judge": {"init_args": {"model": str(tiny_judge)}}},
        "trainer": {"accelerator": "cpu", "devices": 1, "enable_model_summary": False},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def run(tiny_config: Path) -> Run:
    """Runs a subcommand with shipped configs ("fit/image_adapter"), then the tiny one, then more arguments."""

    def run(command: str, configs: str, folder: Path, *more: str) -> Commands:
        files = [*(CONFIGS / f"{config}.yaml" for config in configs.split()), tiny_config]
        stack = [argument for file in files for argument in ("--config", str(file))]
        return Commands([command, *stack, "--trainer.default_root_dir", str(folder), *more])

    return run


@pytest.fixture(scope="session")
def tiny_styleshot(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that put StyleShot with tiny random weights in the place of the image encoder."""
    folder = tmp_path_factory.mktemp("styleshot")
    files = {"style_encoder": random_encoder(), "ip_adapter": ip_bin()}
    for name, tensors in files.items():
        torch.save(tensors, folder / f"{name}.bin")
    return [
        f"--model.backbone.style_heads={HEADS}",
        *(f"--model.backbone.{name}={folder}/{name}.bin" for name in files),
    ]


@pytest.fixture(scope="session")
def fits(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of both adapters' fits: two steps, each evaluated."""
    root = tmp_path_factory.mktemp("fits")
    for name in ("image_adapter", "text_adapter"):
        steps = ("--trainer.max_steps", "2", "--trainer.val_check_interval", "1")
        run("fit", f"fit/{name}", root / "{method}", *steps, "--trainer.log_every_n_steps", "1")
    return {folder.name: folder for folder in root.iterdir()}
