"""Loading a backbone from disk: formats, precision, and parts that do not fit."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion


@pytest.fixture
def copy(tiny_backbone: Backbone, tmp_path: Path) -> Path:
    """A copy of the tiny backbone that a test may damage."""
    return shutil.copytree(tiny_backbone.model, tmp_path / "backbone")


def test_the_nested_file_gives_the_same_model(model: StableDiffusion, tiny_backbone: Backbone) -> None:
    file = str(Path(tiny_backbone.model) / "ip_adapter.bin")
    other = StableDiffusion.load(dataclasses.replace(tiny_backbone, ip_adapter=file)).state_dict()
    expected = model.state_dict()
    assert set(other) == set(expected)
    assert all(torch.equal(other[key], expected[key]) for key in expected)


def test_all_weights_have_the_asked_precision(tiny_backbone: Backbone) -> None:
    model = StableDiffusion.load(dataclasses.replace(tiny_backbone, dtype="bfloat16"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.encode_contents(["frog"]).dtype == torch.float32


def test_whole_clip_models_serve_as_towers(model: StableDiffusion, tiny_backbone: Backbone, tiny_judge: Path) -> None:
    towers = dataclasses.replace(tiny_backbone, image_encoder=str(tiny_judge), text_tower=str(tiny_judge))
    other = StableDiffusion.load(towers)
    whole = load_file(tiny_judge / "model.safetensors")
    assert torch.equal(other.image_encoder.model.visual_projection.weight, whole["visual_projection.weight"])
    assert torch.equal(other.content_encoder.model.text_projection.weight, whole["text_projection.weight"])


def test_without_a_processor_clips_own_is_used(copy: Path, model: StableDiffusion) -> None:
    (copy / "image_encoder" / "preprocessor_config.json").unlink()
    processor = StableDiffusion.load(Backbone(str(copy))).image_encoder.processor
    expected = model.image_encoder.processor
    for name in ("size", "crop_size", "image_mean", "image_std", "resample", "rescale_factor", "do_center_crop"):
        assert getattr(processor, name) == getattr(expected, name), name


@pytest.mark.parametrize(
    ("part", "argument"),
    [
        ("unet", "model"),
        ("vae", "model"),
        ("text_encoder", "model"),
        ("scheduler", "model"),
        ("image_encoder", "image_encoder"),
        ("text_tower", "text_tower"),
    ],
)
def test_absent_part(copy: Path, part: str, argument: str) -> None:
    shutil.rmtree(copy / part)
    with pytest.raises(FileNotFoundError, match=rf"`{argument}`: could not load '.*{part}' .*works in place"):
        StableDiffusion.load(Backbone(str(copy)))


def test_absent_ip_adapter(copy: Path) -> None:
    (copy / "ip_adapter.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"`ip_adapter`: could not load '.*ip_adapter.safetensors'"):
        StableDiffusion.load(Backbone(str(copy)))


def test_absent_vocabulary(copy: Path) -> None:
    for file in ("vocab.json", "merges.txt"):
        (copy / "tokenizer" / file).unlink()
    with pytest.raises(
        FileNotFoundError, match="`model`: no vocabulary in '.*tokenizer'.*needs tokenizer.json, or vocab"
    ):
        StableDiffusion.load(Backbone(str(copy)))


@pytest.mark.parametrize("part, file", [("unet", "diffusion_pytorch_model"), ("text_tower", "model")])
def test_gaps_in_the_weights(copy: Path, part: str, file: str) -> None:
    path = copy / part / f"{file}.safetensors"
    weights = load_file(path)
    removed = sorted(weights)[0]
    save_file({key: tensor for key, tensor in weights.items() if key != removed}, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"lack 1 of the tensors of a .*, first {removed}"):
        StableDiffusion.load(Backbone(str(copy)))


def _halve(path: Path, key: str) -> None:
    """Halves the feature size of a tower, in its configuration and its projection."""
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "projection_dim": 10}))
    weights = load_file(path / "model.safetensors")
    weights[key] = weights[key][:10].clone()
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})


def test_image_encoder_of_another_size(copy: Path) -> None:
    _halve(copy / "image_encoder", "visual_projection.weight")
    with pytest.raises(ValueError, match="`image_encoder` gives features of size 10, .*trained on size 20"):
        StableDiffusion.load(Backbone(str(copy)))


def test_text_tower_of_another_size(copy: Path) -> None:
    _halve(copy / "text_tower", "text_projection.weight")
    with pytest.raises(ValueError, match="`text_tower` gives features of size 10, `image_encoder` of size 20"):
        StableDiffusion.load(Backbone(str(copy)))
