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


@pytest.fixture
def xl_copy(tiny_sdxl: Backbone, tmp_path: Path) -> Path:
    """A copy of the tiny SDXL that a test may damage."""
    return shutil.copytree(tiny_sdxl.model, tmp_path / "sdxl")


def test_sdxl_with_the_smaller_clip_pair(tiny_sdxl_vit_h: Backbone, sdxl: StableDiffusion) -> None:
    model = StableDiffusion.load(tiny_sdxl_vit_h).double()
    assert model.encode_contents(["frog"]).shape == (1, 20) and sdxl.encode_contents(["frog"]).shape == (1, 28)
    assert model.content_encoder is not model.prompt_encoder.second
    assert model.project(torch.zeros(1, 20).double()).shape == (1, 4, 40)
    assert all(map(torch.equal, model.encode_prompts(["frog"]), sdxl.encode_prompts(["frog"])))


@pytest.mark.parametrize("name", ["StableDiffusion3Pipeline", None])
def test_unknown_pipeline(copy: Path, name: str | None) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps({**index, "_class_name": name}))
    known = "StableDiffusionPipeline, StableDiffusionXLPipeline"
    with pytest.raises(ValueError, match=rf"`model`: the pipeline in '.*' is a {name}; expected one of {known}"):
        StableDiffusion.load(Backbone(str(copy)))


def test_absent_model_index(copy: Path) -> None:
    (copy / "model_index.json").unlink()
    with pytest.raises(FileNotFoundError, match="`model`: could not load"):
        StableDiffusion.load(Backbone(str(copy)))


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2"])
def test_absent_part_of_sdxl(xl_copy: Path, part: str) -> None:
    shutil.rmtree(xl_copy / part)
    with pytest.raises(FileNotFoundError, match=rf"`model`: could not load '.*{part}'"):
        StableDiffusion.load(Backbone(str(xl_copy)))


def test_gaps_in_the_second_text_encoder(xl_copy: Path) -> None:
    path = xl_copy / "text_encoder_2" / "model.safetensors"
    weights = load_file(path)
    weights.pop("text_projection.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lack 1 of the tensors of a CLIPTextModelWithProjection, first text_proj"):
        StableDiffusion.load(Backbone(str(xl_copy)))


def test_ip_adapter_of_another_family(tiny_backbone: Backbone, tiny_sdxl: Backbone) -> None:
    other = str(Path(tiny_sdxl.model) / "ip_adapter.safetensors")
    with pytest.raises(ValueError, match=r"`ip_adapter` gives tokens of size 40 .*attends to size 24.* 2048: SDXL"):
        StableDiffusion.load(dataclasses.replace(tiny_backbone, ip_adapter=other))


def test_ip_adapter_of_another_clip_pair(tiny_sdxl: Backbone, tiny_sdxl_vit_h: Backbone) -> None:
    mixed = dataclasses.replace(tiny_sdxl, ip_adapter=tiny_sdxl_vit_h.ip_adapter)
    with pytest.raises(ValueError, match=r"`image_encoder` gives features of size 28, .*trained on size 20.*ViT-bigG"):
        StableDiffusion.load(mixed)


def test_without_its_text_tower_the_smaller_pair_is_no_pair(tiny_sdxl_vit_h: Backbone) -> None:
    with pytest.raises(ValueError, match="`text_tower` gives features of size 28, `image_encoder` of size 20"):
        StableDiffusion.load(dataclasses.replace(tiny_sdxl_vit_h, text_tower=None))


def test_half_an_ip_adapter(xl_copy: Path) -> None:
    path = xl_copy / "ip_adapter.safetensors"
    weights = load_file(path)
    for number in range(5, 35, 2):
        weights[f"ip_adapter.{number + 100}.to_k_ip.weight"] = weights.pop(f"ip_adapter.{number}.to_k_ip.weight")
    save_file(weights, path)
    with pytest.raises(ValueError, match="the part ip_adapter does not fit this UNet") as caught:
        StableDiffusion.load(Backbone(str(xl_copy)))
    message = str(caught.value)
    missing, unknown = message.split("missing keys ")[1].split(" unknown keys ")
    assert "11.to_k_ip.weight" in missing and "105.to_k_ip.weight" in unknown
    for listed in (missing, unknown):
        shown = listed.count("_ip.weight")
        assert shown <= 10 and f"and {15 - shown} more" in listed


def test_the_vae_stays_in_float32_where_it_overflows(tiny_backbone: Backbone, tiny_sdxl: Backbone) -> None:
    half = dataclasses.replace(tiny_sdxl, dtype="float16")
    loaded = StableDiffusion.load(half)
    assert loaded.vae.dtype == torch.float32 and loaded.unet.dtype == torch.float16
    assert StableDiffusion.load(dataclasses.replace(half, vae_dtype="float16")).vae.dtype == torch.float16
    assert StableDiffusion.load(dataclasses.replace(half, dtype="bfloat16")).vae.dtype == torch.bfloat16


def test_another_vae(tiny_sdxl: Backbone, xl_copy: Path, sdxl: StableDiffusion) -> None:
    path = xl_copy / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({key: 2 * tensor for key, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    other = StableDiffusion.load(dataclasses.replace(tiny_sdxl, vae=str(xl_copy / "vae")))
    assert torch.equal(other.vae.decoder.conv_in.weight.double(), 2 * sdxl.vae.decoder.conv_in.weight)
    with pytest.raises(FileNotFoundError, match="`vae`"):
        StableDiffusion.load(dataclasses.replace(tiny_sdxl, vae=str(xl_copy / "unet" / "none")))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("file", "argument"),
    [
        ("ip_adapter.safetensors", "ip_adapter"),
        ("unet/diffusion_pytorch_model.safetensors", "model"),
        ("image_encoder/model.safetensors", "image_encoder"),
    ],
)
def test_weights_that_are_not_finite_are_named(copy: Path, file: str, argument: str, value: float) -> None:
    weights = load_file(copy / file)
    name = sorted(weights)[-1]
    weights[name].view(-1)[-1] = value
    save_file(weights, copy / file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"`--model.backbone.{argument}` cannot be read: the tensor {name} in "):
        StableDiffusion.load(Backbone(str(copy)))


@pytest.mark.parametrize("content", ["", "{}", "version https://git-lfs.github.com/spec/v1"])
def test_a_damaged_processor_does_not_become_clips_own(copy: Path, content: str) -> None:
    (copy / "image_encoder" / "preprocessor_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"`--model.backbone.image_encoder` .*preprocessor_config.json' is damaged"):
        StableDiffusion.load(Backbone(str(copy)))


def test_a_list_of_shards_stays_in_its_folder(copy: Path) -> None:
    (copy / "unet" / "diffusion_pytorch_model.safetensors").rename(copy / "stolen.safetensors")
    index = {"metadata": {}, "weight_map": {"conv_in.weight": "../stolen.safetensors"}}
    (copy / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"index.json' is damaged.*'../stolen.safetensors' names nothing below"):
        StableDiffusion.load(Backbone(str(copy)))


def test_betas_that_are_none(copy: Path) -> None:
    file = copy / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "beta_end": float("nan")}))
    with pytest.raises(ValueError, match=r"`--model.backbone.model` cannot be read: '.*scheduler' is damaged"):
        StableDiffusion.load(Backbone(str(copy)))


@pytest.mark.parametrize(
    ("file", "name", "value", "told"),
    [
        (
            "text_encoder/config.json",
            "num_hidden_layers",
            10**9,
            "`num_hidden_layers` is 1000000000, more",
        ),
        ("unet/config.json", "transformer_layers_per_block", [[10**30]], "more than any has"),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 10**9, "more than any has"),
        ("text_encoder/config.json", "eos_token_id", 10**9, "no text ends with the token 1000000000"),
        ("text_encoder/config.json", "vocab_size", 7, ""),
    ],
)
def test_configurations_without_end_or_sense(copy: Path, file: str, name: str, value: object, told: str) -> None:
    (copy / file).write_text(json.dumps({**json.loads((copy / file).read_text()), name: value}))
    with pytest.raises(ValueError, match=rf"`--model.backbone.model` cannot be read: '.*' is damaged.*{told}"):
        StableDiffusion.load(Backbone(str(copy)))
