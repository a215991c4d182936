"""Tiny random weights in the real file formats, for tests that need a whole backbone or a judge.

Random weights cannot draw, but every tensor, file name and key is where the real ones have theirs.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, CLIPVisionConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lightning_modules.diffusion.config import Backbone
from scripts.architectures import ARCHITECTURES, Architecture
from scripts.random_backbone import write_pipeline, write_vocabulary

IMAGE_SIZE = 16  # pixels; latents are 8 x 8
FEATURE_DIM = 20  # D
TEXT_DIM = 24  # C
TEXT_TOKENS = 32
IMAGE_TOKENS = 4  # T
SECOND_TEXT_DIM = 16  # of SDXL's second text encoder; its UNet attends to both, side by side
XL_FEATURE_DIM = 28  # of that and of the image encoder that is paired with it
M = TypeVar("M", bound=nn.Module)
_TIME_DIM = 4  # of each of the six numbers of the micro-conditioning
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_WORDS += ["a", "an", "bench", "human", "laptop", "rocket", "flower", "in", "style", "best", "quality", "high", "toy"]


def _merges() -> list[tuple[str, str]]:
    """Merges that build each word from the left, so that known words are few tokens each."""
    pairs = {}
    for word in _WORDS:
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for place in range(1, len(letters)):
            pairs["".join(letters[:place]), letters[place]] = None
    return list(pairs)


_LETTERS = sorted(ByteLevel.alphabet())  # that stand for bytes
_ENTRIES = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), *map("".join, _merges()), _START, _END]
_LAYERS: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT = {**_LAYERS, "vocab_size": len(_ENTRIES), "max_position_embeddings": TEXT_TOKENS}
_PLACES = {"bos_token_id": len(_ENTRIES) - 2, "eos_token_id": len(_ENTRIES) - 1, "pad_token_id": len(_ENTRIES) - 1}
# As SDXL has them: out of date, and the second padded with "!" (place 0).
_XL_PLACES = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
# What Euler does not read is there for the other schedulers.
_OTHERS = {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "sample_max_value": 1.0}
_VAE: dict[str, Any] = {
    "block_out_channels": (8, 8),  # 16 pixels to 8 x 8 x 4 latents
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": IMAGE_SIZE,
}


def _text(dim: int, feature_dim: int, **others: Any) -> dict[str, Any]:
    return {**_TEXT, "hidden_size": dim, "intermediate_size": dim, "projection_dim": feature_dim, **others}


def _vision(feature_dim: int) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "image_size": IMAGE_SIZE, "patch_size": 8}
    return {**_LAYERS, **sizes, "projection_dim": feature_dim}


TINY: dict[str, Architecture] = {
    # Two levels with cross-attention everywhere, the middle too: seven cross-attention layers.
    "sd15": replace(
        ARCHITECTURES["sd15"],
        scheduler="DDIMScheduler",
        scheduler_settings={**_BETAS, "clip_sample": False, "set_alpha_to_one": False},
        unet={
            "sample_size": IMAGE_SIZE // 2,
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": TEXT_DIM,
            "attention_head_dim": 2,
            "norm_num_groups": 4,
        },
        vae=_VAE,
        text_encoder=_text(TEXT_DIM, FEATURE_DIM, **_PLACES),
        image_encoder=_vision(FEATURE_DIM),
        text_tower=_text(TEXT_DIM, FEATURE_DIM, **_PLACES),
        options={},
    ),
    # SDXL's blocks with two transformer layers where SDXL has ten: 17 cross-attention layers.
    "sdxl": replace(
        ARCHITECTURES["sdxl"],
        scheduler_settings={**_BETAS, "timestep_spacing": "leading"},
        unet=ARCHITECTURES["sdxl"].unet
        | {
            "sample_size": IMAGE_SIZE // 2,
            "block_out_channels": (8, 8, 16),
            "transformer_layers_per_block": (1, 1, 2),
            "cross_attention_dim": TEXT_DIM + SECOND_TEXT_DIM,
            "attention_head_dim": (1, 2, 4),
            "norm_num_groups": 4,
            "addition_time_embed_dim": _TIME_DIM,
            "projection_class_embeddings_input_dim": 6 * _TIME_DIM + XL_FEATURE_DIM,
        },
        vae={**_VAE, "scaling_factor": 0.13025, "force_upcast": True},  # it overflows in float16
        text_encoder=_text(TEXT_DIM, TEXT_DIM, **_XL_PLACES),
        text_encoder_2=_text(SECOND_TEXT_DIM, XL_FEATURE_DIM, hidden_act="gelu", **_XL_PLACES),
        image_encoder=_vision(XL_FEATURE_DIM),
    ),
}


def write_tiny_backbone(folder: Path, seed: int = 0, family: str = "sd15") -> Backbone:
    """Writes a complete backbone with its IP-Adapter into `folder` and returns the settings that load it."""
    made = TINY[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = {part: randomised(made.build(part)) for part in made.parts}
        write_ip_adapter(folder, tiny_ip_adapter(networks["unet"], made.image_encoder["projection_dim"]))
    for part, network in networks.items():
        network.save_pretrained(folder / part)
    _processor().save_pretrained(folder / "image_encoder")
    write_tokenizer(folder / "tokenizer")
    write_pipeline(folder, made)
    if family == "sdxl":
        write_tokenizer(folder / "tokenizer_2", pad="!")
        scheduler = folder / "scheduler" / "scheduler_config.json"
        scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | _OTHERS))
    else:
        _write_newer_tokenizer(folder / "text_tower")
    return Backbone(model=str(folder))


def write_tiny_sdxl_vit_h(folder: Path, sdxl: Backbone, seed: int = 2) -> Backbone:
    """Writes into `folder` what `ip-adapter_sdxl_vit-h` adds to an SDXL: the smaller CLIP pair and its IP-Adapter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in ("image_encoder", "text_tower"):
            randomised(TINY["sd15"].build(part)).save_pretrained(folder / part)
        write_ip_adapter(folder, tiny_ip_adapter(randomised(TINY["sdxl"].build("unet"))))
    _processor().save_pretrained(folder / "image_encoder")
    _write_newer_tokenizer(folder / "text_tower")
    files = {"image_encoder": "image_encoder", "text_tower": "text_tower", "ip_adapter": "ip_adapter.safetensors"}
    return replace(sdxl, **{argument: str(folder / name) for argument, name in files.items()})


def write_tiny_judge(folder: Path, seed: int = 1) -> Path:
    """Writes a whole CLIP (model, tokenizer, image processor) into `folder` and returns the folder."""
    text = TINY["sd15"].text_encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPConfig(text_config=text, vision_config=_vision(FEATURE_DIM), projection_dim=FEATURE_DIM)
        randomised(CLIPModel(config)).save_pretrained(folder)
    write_tokenizer(folder)
    _processor().save_pretrained(folder)
    return folder


def tiny_unet() -> UNet2DConditionModel:
    return randomised(TINY["sd15"].build("unet"))


def vision_config(feature_dim: int = FEATURE_DIM) -> CLIPVisionConfig:
    """Configuration of an image encoder with features of size `feature_dim`."""
    return CLIPVisionConfig(**_vision(feature_dim))


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
    write_vocabulary(folder, _ENTRIES, _merges(), TEXT_TOKENS, pad)


def _write_newer_tokenizer(folder: Path) -> None:
    """The same in one file."""
    write_tokenizer(folder)
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()


def _processor() -> CLIPImageProcessorPil:
    sizes = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=sizes)


def randomised(network: M) -> M:
    """Larger weights than at a usual start, so that every input visibly matters to the output."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return network
