"""Loading a backbone from disk: formats, precision, and parts that do not fit."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

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


@pytest.fixture
def xl_copy(tiny_sdxl: Backbone, tmp_path: Path) -> Path:
    """A copy of the tiny SDXL that a test may damage."""
    return shutil.copytree(tiny_sdxl.model, tmp_path / "sdxl")


MISSING = [
    *(
        ("sd15", [part], rf"`model`: could not load '.*{part}' .*works in place")
        for part in ("unet", "vae", "scheduler")
    ),
    *(("sd15", [part], rf"`{part}`: could not load '.*{part}' ") for part in ("image_encoder", "text_tower")),
    ("sd15", ["text_encoder"], r"`model`: could not load '.*text_encoder' "),
    *(("sdxl", [part], rf"`model`: could not load '.*{part}'") for part in ("text_encoder_2", "tokenizer_2")),
    ("sd15", ["ip_adapter.safetensors"], r"`ip_adapter`: could not load '.*ip_adapter.safetensors'"),
    ("sd15", ["model_index.json"], "`model`: could not load"),
    (
        "sd15",
        ["tokenizer/vocab.json", "tokenizer/merges.txt"],
        "`model`: no vocabulary in '.*tokenizer'.*needs tokenizer.json, or vocab",
    ),
]


@pytest.mark.parametrize(("family", "names", "message"), MISSING)
def test_what_is_missing_is_named(copy: Path, xl_copy: Path, family: str, names: list[str], message: str) -> None:
    folder = copy if family == "sd15" else xl_copy
    for path in (folder / name for name in names):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=message):
        StableDiffusion.load(Backbone(str(folder)))


def changed_weights(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("file", "tensor", "told"),
    [
        ("unet/diffusion_pytorch_model", "conv_in.bias", "UNet2DConditionModel"),
        ("text_tower/model", "text_projection.weight", "CLIPTextModelWithProjection"),
    ],
)
def test_gaps_in_the_weights(copy: Path, file: str, tensor: str, told: str) -> None:
    changed_weights(copy / f"{file}.safetensors", lambda weights: weights.pop(tensor))
    with pytest.raises(ValueError, match=rf"lack 1 of the tensors of a {told}, first {tensor}"):
        StableDiffusion.load(Backbone(str(copy)))


@pytest.mark.parametrize(
    ("part", "key", "message"),
    [
        ("image_encoder", "visual_projection.weight", "`image_encoder` gives features of size 10, .*trained on size"),
        ("text_tower", "text_projection.weight", "`text_tower` gives features of size 10, `image_encoder` of size 20"),
    ],
)
def test_towers_of_another_size(copy: Path, part: str, key: str, message: str) -> None:
    config = copy / part / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "projection_dim": 10}))
    changed_weights(config.with_name("model.safetensors"), lambda w: w.update({key: w[key][:10].clone()}))
    with pytest.raises(ValueError, match=message):
        StableDiffusion.load(Backbone(str(copy)))


def test_adapters_and_towers_of_another_base(
    tiny_backbone: Backbone, tiny_sdxl: Backbone, tiny_sdxl_vit_h: Backbone
) -> None:
    other = str(Path(tiny_sdxl.model) / "ip_adapter.safetensors")
    for backbone, changes, message in (
        (tiny_backbone, {"ip_adapter": other}, r"gives tokens of size 40 .*attends to size 24.* 2048: SDXL"),
        (tiny_sdxl, {"ip_adapter": tiny_sdxl_vit_h.ip_adapter}, r"features of size 28, .*trained on size 20.*bigG"),
        (tiny_sdxl_vit_h, {"text_tower": None}, "`text_tower` gives features of size 28, `image_encoder` of size 20"),
    ):
        with pytest.raises(ValueError, match=message):
            StableDiffusion.load(dataclasses.replace(backbone, **changes))


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
        ("text_encoder/config.json", "num_hidden_layers", 10**9, "`num_hidden_layers` is 1000000000, more"),
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
