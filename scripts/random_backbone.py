"""Writes a whole backbone with random weights in the published sizes and file formats, without a download.

It cannot draw, but loads, runs and takes memory as the real one does:

    python -m scripts.random_backbone --family sd15 --folder weights/random_sd15
    maskst predict --config configs/predict/masking.yaml --config configs/backbone/sd15.yaml \\
        --config weights/random_sd15/backbone.yaml --data.test my/styles
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import yaml
from torch import Tensor
from tqdm import tqdm

from lightning_modules.diffusion.ip_adapter import ImageProjection, cross_attention_layers
from scripts.architectures import ARCHITECTURES, Architecture
from scripts.miniature.tokenizer import make_tokenizer
from scripts.paths import to_path
from scripts.stopping import stoppable

DTYPES = ("float32", "float16", "bfloat16")
_SHARD = "5GB"  # a shard is held a second time while it is written
_VOCABULARY = 49408
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LENGTH = 77


def write_random_backbone(
    folder: Path, architecture: Architecture, seed: int = 0, dtype: torch.dtype = torch.float32
) -> None:
    """Writes a diffusers folder, CLIP's image encoder and text tower, `ip_adapter.bin` and `backbone.yaml`.

    One network is in memory at a time.

    Args:
        folder: where to write; files of the same names are replaced.
        architecture: the networks.
        seed: of the weights; each network's depend on its own place and the seed alone.
        dtype: precision in which the weights are drawn and written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_index(folder, architecture)
    for name in ("tokenizer", "tokenizer_2", "text_tower"):
        if name in (*_tokenizers(architecture), *architecture.parts):
            write_tokenizer(folder / name, pad="!" if name == "tokenizer_2" else _END)
    with torch.random.fork_rng(devices=[]):
        for place, part in enumerate(tqdm([*architecture.parts, "ip_adapter"], "writing", unit="part")):
            torch.manual_seed(seed + place)
            if part == "ip_adapter":
                torch.save(random_ip_adapter(architecture, dtype), folder / "ip_adapter.bin")
            else:
                _write_network(folder / part, architecture, part, dtype)
    _write_config(folder, str(dtype).removeprefix("torch."))


def _write_config(folder: Path, dtype: str) -> None:
    """Names everything that another backbone's config may have named before."""
    names = {"model": str(folder), "ip_adapter": str(folder / "ip_adapter.bin"), "dtype": dtype}
    unset = dict.fromkeys(("image_encoder", "text_tower", "vae", "revision", "variant", "vae_dtype"))
    config = {"model": {"init_args": {"backbone": names | unset}}}
    (folder / "backbone.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _write_network(folder: Path, architecture: Architecture, part: str, dtype: torch.dtype) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        architecture.build(part).save_pretrained(folder, max_shard_size=_SHARD)
    finally:
        torch.set_default_dtype(before)


def random_ip_adapter(architecture: Architecture, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """The nested dictionary of a published `.bin`; weights scaled so that outputs are of the size of inputs."""
    with torch.device("meta"):
        unet = architecture.build("unet")
    width = unet.config.cross_attention_dim
    projection = ImageProjection(architecture.image_encoder["projection_dim"], architecture.image_tokens, width)
    layers: dict[str, Tensor] = {}
    for place, layer in enumerate(cross_attention_layers(unet)):
        for kind in "kv":
            size = unet.get_submodule(layer).to_k.weight.shape
            layers[f"{2 * place + 1}.to_{kind}_ip.weight"] = (torch.randn(size) * width**-0.5).to(dtype)
    return {
        "image_proj": {key: value.to(dtype) for key, value in projection.state_dict().items()},
        "ip_adapter": layers,
    }


def write_tokenizer(folder: Path, pad: str = _END) -> None:
    """Writes CLIP's byte-level BPE as `vocab.json` and `merges.txt`.

    It has the published number of entries and the published ids of bytes and special tokens; the merges are the few
    that make one token of each word of the miniature's captions, and entries that no text reaches fill the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = json.loads(make_tokenizer().backend_tokenizer.to_str())["model"]
    entries = [entry for entry in sorted(model["vocab"], key=model["vocab"].get) if entry not in (_START, _END)]
    unused = [f"<|unused{place}|>" for place in range(_VOCABULARY - len(entries) - 2)]
    vocabulary = {entry: place for place, entry in enumerate([*entries, *unused, _START, _END])}
    merges = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""]
    specials = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": pad}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": _LENGTH, "do_lower_case": True, **specials}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(merges), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _tokenizers(architecture: Architecture) -> list[str]:
    return [name.replace("text_encoder", "tokenizer") for name in architecture.parts if "text_encoder" in name]


def _write_index(folder: Path, architecture: Architecture) -> None:
    """The scheduler's folder and model_index.json; what the project does not use is null, as diffusers allows."""
    name, config = architecture.scheduler
    getattr(diffusers, name)(**config).save_pretrained(folder / "scheduler")
    parts: dict[str, Any] = {
        "scheduler": ["diffusers", name],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "feature_extractor": [None, None],
    }
    if architecture.text_encoder_2 is None:
        parts["safety_checker"] = [None, None]
    else:
        parts["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
    parts |= {tokenizer: ["transformers", "CLIPTokenizer"] for tokenizer in _tokenizers(architecture)}
    about = {"_class_name": architecture.pipeline, "_diffusers_version": diffusers.__version__}
    index = json.dumps({**about, **architecture.options, **parts}, indent=2)
    (folder / "model_index.json").write_text(f"{index}\n", encoding="utf-8")


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m scripts.random_backbone",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--family", choices=list(ARCHITECTURES), required=True, help="which networks to write")
    parser.add_argument("--folder", type=to_path, required=True, help="where to write (float32: sd15 9 GB, sdxl 23 GB)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default: 0)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="precision (default: float32)")
    options = parser.parse_args(args)
    architecture, dtype = ARCHITECTURES[options.family], getattr(torch, options.dtype)
    write_random_backbone(options.folder, architecture, options.seed, dtype)


if __name__ == "__main__":
    with stoppable():
        main()
