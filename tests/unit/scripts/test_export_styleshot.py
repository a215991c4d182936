"""`maskst export` of both stages: a backbone with the files does what the trained module did."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.unet_inputs import ContentMap
from lightning_modules.styleshot_reconstruction import StyleShotReconstruction
from lightning_modules.styleshot_training import ContentFusionReconstruction, StyleEncoderReconstruction
from scripts.cli import main
from scripts.export import export_styleshot, project_version, read_styleshot
from tests.fitting import trainer
from tests.float64 import assert_same
from tests.styleshot import CLIP_HEADS, captions, module, write_captions, write_styleshot

IMAGES = [Image.linear_gradient("L").convert("RGB"), Image.new("RGB", (20, 50), (200, 40, 10))]
LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
LINES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def stages(tiny_backbone: Backbone, folder: Path) -> dict[str, tuple[StyleShotReconstruction, Path]]:
    """Both stages after two steps, with their checkpoints."""
    styleshot, trained = write_styleshot(folder, tiny_backbone), {}
    kinds: list[tuple[Any, Backbone]] = [
        (StyleEncoderReconstruction, tiny_backbone),
        (ContentFusionReconstruction, styleshot),
    ]
    for kind, backbone in kinds:
        made, run = module(kind, backbone, seed=3), trainer(max_steps=2)
        run.fit(made, captions(write_captions(folder)))
        run.save_checkpoint(folder / f"{made.name}.ckpt")
        trained[made.name] = made, folder / f"{made.name}.ckpt"
    return trained


def exported(checkpoint: Path, out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    """Arguments of `Backbone` that the command names for the files it wrote."""
    main(["export", str(checkpoint), str(out), *options])
    _, *arguments = capsys.readouterr().out.strip().split("--model.backbone.")
    pairs = (argument.split() for argument in arguments)
    return {
        name: value if name in ("style_encoder", "ip_adapter", "content_lines") else json.loads(value)
        for name, value in pairs
    }


@torch.no_grad()
def answers(model: StableDiffusion, fused: bool) -> tuple[torch.Tensor, ...]:
    """Features and tokens of images, and the noise that is predicted beside them."""
    features = model.encode_images(IMAGES)
    tokens = model.project(features)
    told = model.conditions(model.encode_prompts(["A cat", "A dog"]), [tokens])
    told = told._replace(content_map=ContentMap(LINES, tokens, 1.0)) if fused else told
    return features, tokens, model.predict_noise(LATENTS, torch.tensor([3, 700]), told)


def test_the_first_stage_comes_back_whole(
    stages: Any, tiny_backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, checkpoint = stages["style_encoder"]
    arguments = exported(checkpoint, tmp_path / "new", capsys)
    assert arguments == {
        "style_encoder": str(tmp_path / "new" / "style_aware_encoder.safetensors"),
        "ip_adapter": str(tmp_path / "new" / "ip.safetensors"),
        "style_heads": CLIP_HEADS,
    }
    loaded = StableDiffusion.load(Backbone(tiny_backbone.model, **arguments))
    assert all(map(torch.equal, answers(loaded, fused=False), answers(made.model, fused=False)))
    untrained = module(StyleEncoderReconstruction, tiny_backbone, seed=3)
    untrained.configure_model()
    before = answers(untrained.model, fused=False)
    assert min(float((a - b).abs().max()) for a, b in zip(before, answers(loaded, False), strict=True)) > 1e-4
    for name in ("style_encoder", "ip_adapter"):
        with safe_open(arguments[name], framework="pt") as file:
            told = file.metadata()
            assert not any(key.startswith(("controlnet.", "unet.", "diffusion.")) for key in file.keys())  # noqa: SIM118
        assert json.loads(told["backbone"])["model"] == tiny_backbone.model
        assert (told["global_step"], told["style_heads"]) == ("2", str(CLIP_HEADS))
        assert told["maskst_version"] == project_version()


def test_the_second_stage_comes_back_whole(
    stages: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, checkpoint = stages["content_fusion"]
    arguments = exported(checkpoint, tmp_path, capsys)
    assert arguments == {"ip_adapter": str(tmp_path / "ip.safetensors"), "content_fusion": True}
    content = read_styleshot(checkpoint)
    assert content is not None
    for lines, told in (("contour", {"content_lines": "contour"}), ("light_lineart", {})):
        content["styleshot"] |= {"content_lines": lines}
        expected = {"ip_adapter": str(tmp_path / "ip.safetensors"), "content_fusion": "true", **told}
        assert export_styleshot(content, tmp_path, overwrite=True) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["ip.safetensors"]
    encoder = {"style_encoder": made.backbone.style_encoder, "style_heads": made.backbone.style_heads}
    loaded = StableDiffusion.load(Backbone(made.backbone.model, **encoder, **arguments))
    ours, theirs = answers(loaded, fused=True), answers(made.model, fused=True)
    assert all(map(torch.equal, ours, theirs))
    assert not torch.equal(ours[2], answers(loaded, fused=False)[2])
    for key, tensor in made.model.controlnet.state_dict().items():
        assert torch.equal(loaded.controlnet.state_dict()[key], tensor)


def test_half_the_bytes(
    stages: Any, tiny_backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, checkpoint = stages["style_encoder"]
    arguments = exported(checkpoint, tmp_path, capsys, "--half")
    for name in ("style_encoder", "ip_adapter"):
        with safe_open(arguments[name], framework="pt") as file:
            assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
    loaded = StableDiffusion.load(Backbone(tiny_backbone.model, **arguments))
    rounding = 32 * torch.finfo(torch.float16).eps
    assert_same(loaded.encode_images(IMAGES), made.model.encode_images(IMAGES), rounding)


def test_files_that_are_there_are_replaced_on_request_alone(
    stages: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ip.safetensors").write_text("precious")
    for _, checkpoint in stages.values():
        with pytest.raises(FileExistsError, match=r"`out`: ip.safetensors of '.*' are there already.*`--overwrite`"):
            main(["export", str(checkpoint), str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["ip.safetensors"], "nothing is written beside it"
    assert (tmp_path / "ip.safetensors").read_text() == "precious"
    exported(stages["style_encoder"][1], tmp_path, capsys, "--overwrite")
    assert {path.name for path in tmp_path.iterdir()} == {"ip.safetensors", "style_aware_encoder.safetensors"}


def test_a_damaged_checkpoint_is_explained_and_no_option_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"`checkpoint` cannot be read: .*a\.ckpt"):
        main(["export", str(tmp_path / "a.ckpt"), str(tmp_path / "a.safetensors")])
    with pytest.raises(ValueError, match=r"`--half` is for a StyleShot"):
        main(["export", str(tmp_path / "a.ckpt"), str(tmp_path / "a.safetensors"), "--half"])
    with pytest.raises(ValueError, match=r"`out` must be a folder"):
        export_styleshot({}, tmp_path / "a.safetensors")
