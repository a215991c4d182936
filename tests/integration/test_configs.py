"""Every shipped config runs, alone but for the tiny weights, and says what it means."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_modules.adapter_training import AdapterReconstruction
from lightning_modules.conditions import StyleShot
from lightning_modules.diffusion.config import MINIATURE, Backbone
from lightning_modules.objectives import DropRates, FusionDropRates
from lightning_modules.style_transfer import StyleTransfer
from lightning_modules.styleshot.encoder import StyleEncoderConfig
from lightning_modules.styleshot.pyramid import MAP_CHANNELS
from scripts.cli import ROOT, main
from scripts.yaml_files import read_yaml
from tests.integration.conftest import CONFIGS, Run, evaluations

METHODS = {
    "ip_adapter": ("ip_adapter", {}),
    "instantstyle": ("instantstyle", {"strength": 1.0, "norm_matched": False}),
    "instantstyle_norm_matched": ("instantstyle", {"strength": 1.0, "norm_matched": True}),
    "masking": ("masking", {"n_clusters": 2}),
    "masking_quantile": ("quantile_masking", {"theta": 0.7, "drop": "high"}),
    "masking_quantile_sdxl": ("quantile_masking", {"theta": 0.8, "drop": "high"}),
    "image_adapter": ("image_adapter", {"strength": 1.0, "rescale": True}),
    "text_adapter": ("text_adapter", {"strength": 1.0, "rescale": True}),
}
# These need features with levels.
ON_STYLESHOT = {
    "styleshot": ("styleshot", {}),
    "masking_middle_low": (
        "masking_on_middle_low",
        {"levels": "middle, low", "on_levels": "masking", "n_clusters": 2},
    ),
}
METHODS |= ON_STYLESHOT
# What sets the real models apart; their weights are not here, so that their configs are parsed and not run.
EULER = {"scheduler": "EulerDiscreteScheduler", "guidance_scale": 7.5, "target_blocks": "style"}
PNDM = {"scheduler": "PNDMScheduler", "steps": 50, "guidance_scale": 7.5}
BACKBONES = {
    "sd15": ("ip-adapter_sd15.safetensors", "laion", {"scheduler": "UniPCMultistepScheduler", "guidance_scale": 7.5}),
    "sdxl": ("ip-adapter_sdxl.safetensors", "None", {**EULER, "prompt_suffix": ", best quality, high quality"}),
    "sdxl_vit_h": ("ip-adapter_sdxl_vit-h.safetensors", "laion", EULER),
    "styleshot": ("StyleShot/pretrained_weight/ip.bin", "laion", PNDM),
    "styleshot_lineart": ("StyleShot_lineart/pretrained_weight/ip.bin", "laion", PNDM),
}
WEIGHTS = ("model", "image_encoder", "text_tower", "style_encoder", "ip_adapter", "vae")
UNPINNED = r"Gaojunyao/StyleShot(_lineart)?/"  # whose commits were not to be had
ADDED = {"fit/published_objective", "fit/published_schedule", "fit/low_memory", "predict/low_memory"}
STAGES = ("style_encoder", "content_fusion")  # of StyleShot's training
SCORES = ["alignment/text", "alignment/text_low", "alignment/text_high", "alignment/image", "leakage/leaked"]


def curves(folder: Path) -> dict[str, list[int]]:
    """Steps of each scalar in TensorBoard."""
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def parsed(
    capsys: pytest.CaptureFixture[str], command: str, *configs: Path, more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What a stack of configs, and more arguments, come to."""
    stack = [argument for path in configs for argument in ("--config", str(path))]
    with pytest.raises(SystemExit):
        main([command, *stack, *more, "--print_config"])
    values: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return values


def test_every_shipped_config_has_its_test_here() -> None:
    names = {path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.glob("*/*.yaml")}
    fit, backbones = {"fit/image_adapter", "fit/text_adapter"}, {f"backbone/{name}" for name in BACKBONES}
    fit |= {f"fit/{stage}{size}" for stage in STAGES for size in ("", "_512")}
    layers = {"backbone/miniature", "backbone/miniature_styleshot"}
    commands = ("fit", "evaluate", "predict", "sweep", "studio", "test", "backbone")
    layers |= {f"defaults/{command}" for command in commands}
    layers |= {"sweep/published", "sweep/short", "test/clip"}
    data = ("style_bench", "style_bench_images", "captioned_images")
    layers |= {f"data/{kind}{name}" for kind in ("", "miniature_") for name in data}
    assert names == ADDED | fit | backbones | layers | {f"predict/{name}" for name in METHODS}


@pytest.mark.parametrize("config", METHODS)
def test_predict_writes_the_pictures_of_its_method(
    config: str, run: Run, fits: dict[str, Path], tiny_styleshot: list[str], tmp_path: Path
) -> None:
    method, condition = METHODS[config]
    more = [f"--model.condition.checkpoint={fits[config]}/checkpoints/last.ckpt"] if config in fits else []
    more += tiny_styleshot if config in ON_STYLESHOT else []
    commands = run("predict", f"predict/{config}", tmp_path / "{method}", *more)
    assert [folder.name for folder in tmp_path.iterdir()] == [method]
    assert len(list((tmp_path / method).glob("*.png"))) == 2
    assert not list((tmp_path / method).glob("events*"))
    settings = json.loads((tmp_path / method / "settings.json").read_text())
    assert condition.items() <= settings["condition"].items()
    assert settings["sampling"]["steps"] == 2  # of the later config
    assert settings["sampling"]["guidance_scale"] == 4.0  # of the miniature, which lies beneath
    assert commands.trainer.predict_loop.return_predictions is False


@pytest.mark.parametrize("name", ["image_adapter", "text_adapter"])
def test_fit_evaluates_writes_checkpoints_and_curves(name: str, fits: dict[str, Path]) -> None:
    folder = fits[name]
    assert [found[:2] for found in evaluations(folder)] == [(name, step) for step in range(3)]
    assert {path.name for path in (folder / "grids").iterdir()} == {f"step_00000{step}.png" for step in range(3)}
    names = {"step_000001.ckpt", "step_000002.ckpt", "last.ckpt"}
    assert {path.name for path in (folder / "checkpoints").iterdir()} == names
    steps = curves(folder)
    assert [steps[tag] for tag in SCORES] == [[0, 1, 2]] * len(SCORES)
    trained = ["loss/total", "loss/reconstruction", "loss/contrast", "lr-AdamW", "throughput/images_per_second"]
    assert [len(steps[tag]) for tag in trained] == [2] * len(trained)
    assert "hp_metric" not in steps
    assert (folder / "config.yaml").is_file()


def test_a_checkpoint_holds_the_adapter_and_plain_settings(fits: dict[str, Path]) -> None:
    checkpoint = torch.load(fits["text_adapter"] / "checkpoints" / "last.ckpt", weights_only=True)
    names = ("proj.weight", "proj.bias", "norm.weight", "norm.bias")
    assert list(checkpoint["state_dict"]) == [f"condition.adapter.{name}" for name in names]
    assert checkpoint["hyper_parameters"]["adapter"] == "lightning_modules.adapters.TextAdapter"
    assert "python/object" not in (fits["text_adapter"] / "hparams.yaml").read_text()


def test_the_published_objective_and_schedule_stack(run: Run, tmp_path: Path) -> None:
    configs = "fit/text_adapter fit/published_objective fit/published_schedule"
    commands = run("fit", configs, tmp_path, "--trainer.max_steps", "1", "--trainer.limit_val_batches", "0")
    model, [optimizer] = commands.model, commands.trainer.optimizers
    assert isinstance(model, AdapterReconstruction)
    assert (type(model.objective).__name__, model.objective.weight) == ("PublishedObjective", 10)
    assert (model.rescale, model.rescale_in_training, model.dropped_image) == (True, False, "negated")
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (1e-5, 1e-2)
    assert commands.trainer.global_step == 1
    loader = commands.datamodule.train_dataloader()
    indices = [reference.index for batch in loader for reference in batch["references"]]
    assert indices == list(range(len(commands.datamodule.train_set)))
    assert loader.state_dict()["order"]["shuffle"] is False


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_configs_for_512_pixels_say(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    layers = (f"fit/{stage}", "backbone/sd15", f"fit/{stage}_512")
    trained = ("--model.backbone.style_encoder", "my/a.safetensors") if stage == "content_fusion" else ()
    own = ("--data", "CaptionedImages", "--data.captions", "my/captions.jsonl", *trained)
    values = parsed(capsys, "fit", *(CONFIGS / f"{layer}.yaml" for layer in layers), more=own)
    model, data = values["model"]["init_args"], values["data"]["init_args"]
    assert (model["backbone"]["dtype"], model["backbone"]["style_heads"]) == ("float32", 16)
    assert (model["snr_gamma"], model["noisy_weight"], model["lr_scheduler"]) == (None, 1.0, None)
    assert (data["captions"], data["batch_size"]) == ("my/captions.jsonl", 16)
    published = {"style_encoder": DropRates(0.25, 0.0, 0.05), "content_fusion": FusionDropRates()}[stage]
    assert (model["drop"], model["shuffle_patches"]) == (asdict(published), True)
    assert model.get("freeze_clip", True) is True
    sizes = StyleEncoderConfig()
    if stage == "style_encoder":
        assert tuple(map(tuple, model["patches"]["channels"])) == sizes.channels
        assert model["patches"]["unshuffle"] == sizes.unshuffle
    else:
        assert tuple(model["map_channels"]) == MAP_CHANNELS


def test_what_the_fit_configs_say(capsys: pytest.CaptureFixture[str]) -> None:
    fit = [CONFIGS / "fit" / f"{name}.yaml" for name in ("image_adapter", "published_objective", "published_schedule")]
    own, published = parsed(capsys, "fit", fit[0]), parsed(capsys, "fit", *fit)
    assert own["trainer"] | {"max_steps": 480, "val_check_interval": 80} == own["trainer"]
    assert own["trainer"]["check_val_every_n_epoch"] is None
    assert own["trainer"]["default_root_dir"] == "outputs/{command}/{method}"
    assert own["data"]["init_args"]["batch_size"] == 12
    assert own["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 1e-4
    assert own["model"]["init_args"]["objective"]["class_path"].endswith("BoundedContrast")
    schedule = {"max_steps": 5280, "val_check_interval": 200, "precision": "32-true"}
    assert published["trainer"] | schedule == published["trainer"]
    assert (published["data"]["init_args"]["batch_size"], published["data"]["init_args"]["shuffle"]) == (1, False)
    assert published["model"]["init_args"]["backbone"]["dtype"] == "float32"
    assert published["trainer"]["default_root_dir"] == "outputs/fit/{method}_published"


def test_another_backbone_replaces_the_miniature_and_the_miniature_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    sampling, data = {"steps": 30, "guidance_scale": 7.5}, {"train": "a", "test": "b", "prompts": ["A dog"]}
    model = {"init_args": {"backbone": {"model": "owner/name", "variant": "fp16"}, "sampling": sampling}}
    other.write_text(yaml.safe_dump({"model": model, "data": {"class_path": "StyleReferences", "init_args": data}}))
    method, miniature = CONFIGS / "predict" / "masking.yaml", CONFIGS / "backbone" / "miniature.yaml"
    replaced = parsed(capsys, "predict", method, other)
    assert replaced["model"]["init_args"]["sampling"] | sampling == replaced["model"]["init_args"]["sampling"]
    assert replaced["model"]["init_args"]["condition"]["class_path"].endswith("Masking")
    assert replaced["data"]["class_path"] == "datamodules.style_references.StyleReferences"
    assert replaced["data"]["init_args"] | data == replaced["data"]["init_args"]
    assert parsed(capsys, "predict", method, other, miniature) == parsed(capsys, "predict", method)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_real_backbone_sets_all_that_the_miniature_sets(name: str) -> None:
    said, replaced = (read_yaml(CONFIGS / "backbone" / f"{backbone}.yaml") for backbone in (name, "miniature"))
    for part in ("backbone", "sampling"):
        assert set(said["model"]["init_args"][part]) >= set(replaced["model"]["init_args"][part])
    assert set(said["data"]["init_args"]) >= set(replaced["data"]["init_args"])
    assert set(said["scores"]) >= set(replaced["scores"])


@pytest.mark.parametrize("config", [f"predict/{name}" for name in METHODS] + ["fit/image_adapter", "fit/text_adapter"])
def test_a_real_backbone_goes_over_every_method(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, path = config.partition("/")[0], CONFIGS / f"{config}.yaml"
    alone = parsed(capsys, command, path)
    for name, (adapter, tower, sampling) in BACKBONES.items():
        backbone = CONFIGS / "backbone" / f"{name}.yaml"
        said = read_yaml(backbone)["model"]["init_args"]
        values = parsed(capsys, command, path, backbone)
        model, data = values["model"]["init_args"], values["data"]["init_args"]
        assert model["backbone"] == said["backbone"]
        assert model["backbone"]["ip_adapter"].endswith(adapter)
        assert str(model["backbone"]["text_tower"]).startswith(tower)
        assert model["sampling"] | said["sampling"] | sampling == model["sampling"]
        assert model.get("condition") == alone["model"]["init_args"].get("condition")
        folder = {"default_root_dir": f"outputs/{name}/{{command}}/{{method}}"}
        assert values["trainer"] == alone["trainer"] | folder, "pictures of two backbones never meet in a folder"
        assert values["data"]["class_path"] == "datamodules.style_references.StyleReferences"
        assert (data["train"], data["test"], data["samples_per_prompt"]) == ("data/object", "data/object_test", 4)
        assert values["scores"]["constant_steps"] == list(range(0, 2401, 400))


@pytest.mark.parametrize(("name", "lines"), [("styleshot", "contour"), ("styleshot_lineart", "lineart")])
def test_content_images_bring_their_network(name: str, lines: str, capsys: pytest.CaptureFixture[str]) -> None:
    layers = ("predict/masking", f"backbone/{name}", "data/style_bench_images")
    values = parsed(capsys, "predict", *(CONFIGS / f"{layer}.yaml" for layer in layers))
    backbone, data = values["model"]["init_args"]["backbone"], values["data"]
    assert backbone["content_fusion"] is True
    detector = StyleTransfer(StyleShot(), Backbone(**backbone)).generator.content_maps.detector
    dark_lines = getattr(detector, "_settings", {}).get("dark_lines")
    assert (detector.name, dark_lines) == (lines, lines == "lineart" or None)
    assert "pretrained_weight/style_aware_encoder.bin" in backbone["style_encoder"]
    assert data["class_path"].endswith("StyleBench")
    assert (data["init_args"]["content_images"], data["init_args"]["samples_per_prompt"]) == ("data/content", 4)
    assert values["trainer"]["default_root_dir"] == f"outputs/{name}/{{command}}/{{method}}"


@pytest.mark.parametrize("name", BACKBONES)
def test_the_miniature_replaces_a_real_backbone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    method, real = CONFIGS / "predict" / "masking.yaml", CONFIGS / "backbone" / f"{name}.yaml"
    assert parsed(capsys, "predict", method, real, real.with_name("miniature.yaml")) == parsed(
        capsys, "predict", method
    )


def test_every_weight_of_a_real_backbone_is_pinned_to_a_commit() -> None:
    for name in BACKBONES:
        values = read_yaml(CONFIGS / "backbone" / f"{name}.yaml")
        backbone, judge = values["model"]["init_args"]["backbone"], values["scores"]["judge"]["init_args"]
        names = [backbone[key] for key in WEIGHTS if backbone[key]]
        assert all(re.search(rf"@[0-9a-f]{{40}}(/|$)|^{UNPINNED}", hub_name) for hub_name in names)
        assert re.fullmatch("[0-9a-f]{40}", judge["revision"])


def test_own_images_need_no_config_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    own = ("--data", "StyleReferences", "--data.test", "my/styles", "--data.prompts", "[A rocket]")
    data = parsed(capsys, "predict", CONFIGS / "predict" / "masking.yaml", more=own)["data"]
    assert data["class_path"] == "datamodules.style_references.StyleReferences"
    assert data["init_args"] | {"test": "my/styles", "prompts": ["A rocket"]} == data["init_args"]


@pytest.mark.skipif(not (MINIATURE / "model_index.json").is_file(), reason="weights/miniature is not there")
def test_a_plain_predict_runs_on_the_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = ("--data.predict_references", "1", "--data.prompts", "[A rocket]", "--data.test_per_style", "1")
    main(["predict", "--config", "configs/predict/masking.yaml", *jobs, "--data.train_per_style", "1"])
    assert len(list((tmp_path / "outputs" / "predict" / "masking").glob("*rocket*.png"))) == 1
    assert ROOT not in tmp_path.parents
