"""Random backbones load as published ones do, here and in diffusers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import yaml
from transformers import CLIPTokenizer

from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.architectures import ARCHITECTURES
from scripts.random_backbone import main, random_ip_adapter, write_random_backbone, write_tokenizer
from tests.unit.scripts.small_architectures import small


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp(request.param)
    write_random_backbone(folder, small(request.param))
    return folder


@pytest.fixture(scope="module")
def model(written: Path) -> StableDiffusion:
    config = yaml.safe_load((written / "backbone.yaml").read_text())
    return StableDiffusion.load(Backbone(**config["model"]["init_args"]["backbone"]))


def test_text_and_image_reach_the_picture(model: StableDiffusion) -> None:
    features = torch.randn(3, model.image_projection.dim, generator=torch.Generator().manual_seed(0))
    features[1] = features[0]
    text = model.encode_prompts(["A rocket", "A bench", "A rocket"])
    pictures = sample(model, SamplingSettings(steps=2), text, features, [0, 0, 0])
    assert pictures.isfinite().all() and pictures.std() > 0.01
    assert (pictures[0] - pictures[1]).abs().max() > 1e-3
    assert (pictures[0] - pictures[2]).abs().max() > 1e-3


def test_diffusers_loads_the_folder_and_the_adapter(written: Path) -> None:
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(written)
    expected = small("sdxl" if "sdxl" in written.name else "sd15")
    assert (type(pipe).__name__, type(pipe.scheduler).__name__) == (expected.pipeline, expected.scheduler)
    pipe.load_ip_adapter(str(written), subfolder="", weight_name="ip_adapter.bin", image_encoder_folder=None)
    assert pipe.unet.encoder_hid_proj.image_projection_layers[0].num_image_text_embeds == 4


def test_weights_come_from_the_seed(tmp_path: Path) -> None:
    made = replace(small("sd15"), image_tokens=2)
    first, again, other = (_unet_weights(tmp_path / name, made, seed) for name, seed in [("a", 0), ("b", 0), ("c", 1)])
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.dtype == torch.float16
    assert torch.load(tmp_path / "a" / "ip_adapter.bin")["image_proj"]["proj.weight"].shape == (2 * 24, 20)


def _unet_weights(folder: Path, made: Any, seed: int) -> torch.Tensor:
    from safetensors.torch import load_file

    write_random_backbone(folder, made, seed, torch.float16)
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")["mid_block.attentions.0.proj_in.weight"]


def test_a_backbone_is_replaced_as_a_whole_and_other_files_are_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "old.safetensors").touch()
    write_random_backbone(folder, small("sd15"))
    assert not (folder / "unet" / "old.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    (folder / "mine.txt").touch()
    with pytest.raises(FileExistsError, match=r"`folder`: '.*made' holds 'mine.txt', which is no part of a backbone"):
        write_random_backbone(folder, small("sd15"))
    assert (folder / "mine.txt").exists()


def test_the_tokenizer_has_the_published_ids(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer: Any = CLIPTokenizer.from_pretrained(tmp_path)
    assert (len(tokenizer), tokenizer.model_max_length) == (49408, 77)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (49406, 49407, 49407)
    # "!" is the first byte, and its end of a word the first entry after the 256 bytes.
    assert tokenizer.convert_tokens_to_ids(["!", "a", "!</w>"]) == [0, 64, 256]
    ids = tokenizer("A rocket 字")["input_ids"]
    assert ids[:2] == [49406, 320] and ids[-1] == 49407  # "a" that ends a word
    assert tokenizer.decode(ids[1:-1]).strip() == "a rocket 字"


def test_an_ip_adapter_of_full_size_has_the_published_keys() -> None:
    weights = random_ip_adapter(ARCHITECTURES["sd15"], torch.float16)
    assert {key: tuple(value.shape) for key, value in weights["image_proj"].items()} == {
        "proj.weight": (3072, 1024),
        "proj.bias": (3072,),
        "norm.weight": (768,),
        "norm.bias": (768,),
    }
    assert list(weights["ip_adapter"]) == [f"{k}.to_{kind}_ip.weight" for k in range(1, 32, 2) for kind in "kv"]
    assert weights["ip_adapter"]["31.to_v_ip.weight"].shape == (1280, 768)  # the middle comes last


def test_the_command_line_writes_what_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "sd15", small("sd15"))
    main(["--family", "sd15", "--folder", str(tmp_path / "x"), "--dtype", "bfloat16"])
    config = yaml.safe_load((tmp_path / "x" / "backbone.yaml").read_text())
    assert config["model"]["init_args"]["backbone"]["dtype"] == "bfloat16"
