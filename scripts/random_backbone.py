"""Writes a whole backbone with random weights in the published sizes and file formats, without a download.

It cannot draw, but loads, runs and takes memory as the real one does:

    python -m scripts.random_backbone --family sd15 --folder weights/random_sd15
    maskst predict --config configs/predict/masking.yaml --config configs/backbone/sd15.yaml \\
        --config weights/random_sd15/backbone.yaml --data.test my/styles
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import diffusers
import torch
import yaml
from tqdm import tqdm

from datamodules.files import replacing_folder
from scripts.architectures import ARCHITECTURES, NETWORKS, Architecture, random_ip_adapter
from scripts.miniature.tokenizer import make_tokenizer
from scripts.paths import to_path
from scripts.stopping import stoppable

DTYPES = ("float32", "float16", "bfloat16")
_SHARD = "5GB"  # a shard is held a second time while it is written
_VOCABULARY = 49408
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LENGTH = 77
_TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2", "text_tower": "text_tower"}
_FILES = {*NETWORKS, *_TOKENIZERS.values(), "scheduler", "model_index.json", "ip_adapter.bin", "backbone.yaml"}


def write_random_backbone(
    folder: Path, architecture: Architecture, seed: int = 0, dtype: torch.dtype = torch.float32
) -> None:
    """Writes a diffusers folder, CLIP's image encoder and text tower, `ip_adapter.bin` and `backbone.yaml`.

    A backbone that lies in `folder` is replaced when the new one is whole; FileExistsError where it holds other files,
    which would be lost. Weights are drawn and written in `dtype`, one network at a time, and each network's depend on
    its own place and `seed` alone.
    """
    if others := sorted({path.name for path in folder.glob("*")} - _FILES):
        raise FileExistsError(
            f"`folder`: {str(folder)!r} holds {others[0]!r}, which is no part of a backbone and would be lost. Give a "
            "new folder, or an empty one."
        )
    with replacing_folder(folder.resolve(), "folder") as staging, torch.random.fork_rng(devices=[]):
        write_pipeline(staging, architecture)
        for part in architecture.parts:
            if part in _TOKENIZERS:
                write_tokenizer(staging / _TOKENIZERS[part], pad="!" if part == "text_encoder_2" else _END)
        for place, part in enumerate(tqdm([*architecture.parts, "ip_adapter"], "writing", unit="part")):
            torch.manual_seed(seed + place)
            if part == "ip_adapter":
                torch.save(random_ip_adapter(architecture, dtype), staging / "ip_adapter.bin")
            else:
                architecture.build(part, dtype).save_pretrained(staging / part, max_shard_size=_SHARD)
        config = _config(folder, str(dtype).removeprefix("torch."))
        (staging / "backbone.yaml").write_text(config, encoding="utf-8")


def write_pipeline(folder: Path, architecture: Architecture) -> None:
    """Writes the scheduler's folder and model_index.json; what the project does not use is null, as in diffusers."""
    scheduler = getattr(diffusers, architecture.scheduler)(**architecture.scheduler_settings)
    scheduler.save_pretrained(folder / "scheduler")
    parts = {part: NETWORKS[part] for part in architecture.parts if part not in ("image_encoder", "text_tower")}
    unused = ("feature_extractor",) if architecture.text_encoder_2 else ("feature_extractor", "safety_checker")
    index = {
        "_class_name": architecture.pipeline,
        "_diffusers_version": diffusers.__version__,
        **architecture.options,
        "scheduler": ["diffusers", architecture.scheduler],
        **{part: [network.__module__.partition(".")[0], network.__name__] for part, network in parts.items()},
        **{_TOKENIZERS[part]: ["transformers", "CLIPTokenizer"] for part in parts if part in _TOKENIZERS},
        **{name: [None, None] for name in unused},
    }
    (folder / "model_index.json").write_text(f"{json.dumps(index, indent=2)}\n", encoding="utf-8")


def write_tokenizer(folder: Path, pad: str = _END) -> None:
    """Writes CLIP's byte-level BPE as `vocab.json` and `merges.txt`.

    It has the published number of entries and the published ids of bytes and special tokens; the merges are the few
    that make one token of each word of the miniature's captions, and entries that no text reaches fill the rest.
    """
    model = json.loads(make_tokenizer().backend_tokenizer.to_str())["model"]
    entries = [entry for entry in sorted(model["vocab"], key=model["vocab"].get) if entry not in (_START, _END)]
    unused = [f"<|unused{place}|>" for place in range(_VOCABULARY - len(entries) - 2)]
    write_vocabulary(folder, [*entries, *unused, _START, _END], model["merges"], _LENGTH, pad)


def write_vocabulary(
    folder: Path, entries: Sequence[str], merges: Iterable[Sequence[str]], length: int, pad: str
) -> None:
    """Writes a byte-level BPE of these entries, by their ids, for texts of at most `length` tokens."""
    specials = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": pad}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, "do_lower_case": True, **specials}
    files = {
        "vocab.json": json.dumps({entry: place for place, entry in enumerate(entries)}),
        "merges.txt": "\n".join(["#version: 0.2", *map(" ".join, merges), ""]),
        "tokenizer_config.json": json.dumps(settings),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _config(folder: Path, dtype: str) -> str:
    """A config that names everything which another backbone's may have named before."""
    names = {"model": str(folder), "ip_adapter": str(folder / "ip_adapter.bin"), "dtype": dtype}
    unset = dict.fromkeys(("image_encoder", "text_tower", "vae", "revision", "variant", "vae_dtype"))
    return yaml.safe_dump({"model": {"init_args": {"backbone": names | unset}}}, sort_keys=False)


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
    dtype = getattr(torch, options.dtype)
    write_random_backbone(options.folder, ARCHITECTURES[options.family], options.seed, dtype)


if __name__ == "__main__":
    with stoppable():
        main()
