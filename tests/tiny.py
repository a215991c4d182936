"""Tiny random weights in the real file formats, for tests that need a whole backbone or a judge.

Random weights cannot draw, but every tensor, file name and key is where the real ones have theirs.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lightning_modules.diffusion.config import Backbone

IMAGE_SIZE = 16  # pixels; latents are 8 x 8
FEATURE_DIM = 20  # D
TEXT_DIM = 24  # C
TEXT_TOKENS = 32
IMAGE_TOKENS = 4  # T
M = TypeVar("M", bound=nn.Module)
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_WORDS += ["a", "an", "bench", "human", "laptop", "rocket", "flower", "in", "style", "best", "quality", "high", "toy"]


def write_tiny_backbone(folder: Path, seed: int = 0) -> Backbone:
    """Writes a complete backbone into `folder` and returns the settings that load it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = tiny_unet()
        unet.save_pretrained(folder / "unet")
        randomised(tiny_vae()).save_pretrained(folder / "vae")
        randomised(CLIPTextModel(text_config())).save_pretrained(folder / "text_encoder")
        write_image_encoder(folder / "image_encoder")
        write_text_tower(folder / "text_tower")
        write_ip_adapter(folder, tiny_ip_adapter(unet))
    write_tokenizer(folder / "tokenizer")
    _write_scheduler(folder)
    return Backbone(model=str(folder))


def write_tiny_judge(folder: Path, seed: int = 1) -> Path:
    """Writes a whole CLIP (model, tokenizer, image processor) into `folder` and returns the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPConfig(
            text_config=text_config().to_dict(), vision_config=vision_config().to_dict(), projection_dim=FEATURE_DIM
        )
        randomised(CLIPModel(config)).save_pretrained(folder)
    write_tokenizer(folder)
    _processor().save_pretrained(folder)
    return folder


def tiny_unet() -> UNet2DConditionModel:
    """Two levels with cross-attention everywhere, the middle too: seven cross-attention layers."""
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_DIM,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    return randomised(unet)


def tiny_vae() -> AutoencoderKL:
    """Halves the size once: 16 pixels to 8 x 8 x 4 latents."""
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=IMAGE_SIZE,
    )


def tiny_ip_adapter(unet: UNet2DConditionModel, feature_dim: int = FEATURE_DIM) -> dict[str, dict[str, Tensor]]:
    """The nested dictionary of an IP-Adapter `.bin`, keys 1, 3, 5, ... in the order of `unet.attn_processors`."""
    token_dim = unet.config.cross_attention_dim
    image_proj = {
        "proj.weight": torch.randn(IMAGE_TOKENS * token_dim, feature_dim),
        "proj.bias": torch.randn(IMAGE_TOKENS * token_dim),
        "norm.weight": torch.randn(token_dim),
        "norm.bias": torch.randn(token_dim),
    }
    names = [name for name in unet.attn_processors if "attn2" in name]
    layers = {}
    for place, name in enumerate(names):
        size = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
        for kind in "kv":
            layers[f"{2 * place + 1}.to_{kind}_ip.weight"] = torch.randn(size)
    return {"image_proj": image_proj, "ip_adapter": layers}


def write_ip_adapter(folder: Path, weights: dict[str, dict[str, Tensor]]) -> None:
    """Writes an IP-Adapter in both formats: nested `ip_adapter.bin`, flat `ip_adapter.safetensors`."""
    torch.save(weights, folder / "ip_adapter.bin")
    flat = {f"{part}.{key}": tensor for part, tensors in weights.items() for key, tensor in tensors.items()}
    save_file(flat, folder / "ip_adapter.safetensors")


def write_tokenizer(folder: Path, pad: str = _END) -> None:
    """Writes a byte-level BPE tokenizer as Stable Diffusion 1.5 has it: vocab.json and merges.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = _merges(_WORDS)
    letters = _byte_letters()
    entries = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), _START, _END]
    (folder / "vocab.json").write_text(json.dumps({entry: place for place, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges), ""]))
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TEXT_TOKENS,
        "bos_token": _START,
        "eos_token": _END,
        "unk_token": _END,
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_image_encoder(folder: Path, dim: int = FEATURE_DIM) -> None:
    """Writes a CLIP image encoder with features of size `dim`, and its processor."""
    randomised(CLIPVisionModelWithProjection(vision_config(dim))).save_pretrained(folder)
    _processor().save_pretrained(folder)


def write_text_tower(folder: Path) -> None:
    """Writes a CLIP text tower with a tokenizer in the newer single file."""
    randomised(CLIPTextModelWithProjection(text_config())).save_pretrained(folder)
    write_tokenizer(folder)
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()


def _write_scheduler(folder: Path) -> None:
    betas: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1).save_pretrained(
        folder / "scheduler"
    )
    parts = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(parts))


def _processor() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    )


def text_config(dim: int = TEXT_DIM, feature_dim: int = FEATURE_DIM, **options: Any) -> CLIPTextConfig:
    """Configuration of a text encoder for `write_tokenizer`'s vocabulary."""
    size = 2 * len(_byte_letters()) + len(_merges(_WORDS)) + 2
    places = {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": size - 1}
    return CLIPTextConfig(
        vocab_size=size,
        hidden_size=dim,
        intermediate_size=dim,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TEXT_TOKENS,
        projection_dim=feature_dim,
        **(places | options),
    )


def vision_config(feature_dim: int = FEATURE_DIM) -> CLIPVisionConfig:
    """Configuration of an image encoder with features of size `feature_dim`."""
    return CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=8,
        projection_dim=feature_dim,
    )


def randomised(network: M) -> M:
    """Larger weights than at a usual start, so that every input visibly matters to the output."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return network


def _byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes in byte-level BPE (GPT-2's alphabet)."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in own] + [chr(256 + place) for place in range(256 - len(own))]


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Merges that build each word from the left, so that known words are few tokens each."""
    pairs = {}
    for word in words:
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for place in range(1, len(letters)):
            pairs["".join(letters[:place]), letters[place]] = None
    return list(pairs)
