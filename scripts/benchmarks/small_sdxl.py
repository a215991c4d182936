"""SDXL's class structure in a size that two CPU cores can draw with: random weights in the public formats."""

from dataclasses import replace
from pathlib import Path

from lightning_modules.diffusion.config import Backbone
from scripts.architectures import ARCHITECTURES, Architecture, Config
from scripts.random_backbone import write_random_backbone

_TEXT: Config = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
_FEATURE = 128
_TIME = 32


def small_sdxl() -> Architecture:
    """All parts of SDXL, the UNet with a fifth of its channels and two transformer layers where it has ten."""
    sdxl = ARCHITECTURES["sdxl"]
    unet: Config = {
        "sample_size": 16,
        "block_out_channels": (64, 128, 256),
        "transformer_layers_per_block": (1, 2, 2),
        "attention_head_dim": (1, 2, 4),
        "cross_attention_dim": 2 * _TEXT["hidden_size"],
        "addition_time_embed_dim": _TIME,
        "projection_class_embeddings_input_dim": 6 * _TIME + _FEATURE,
    }
    vae: Config = {
        "sample_size": 64,
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "norm_num_groups": 8,
        "layers_per_block": 1,
    }
    vision = {**_TEXT, "image_size": 64, "patch_size": 8, "projection_dim": _FEATURE}
    return replace(
        sdxl,
        unet=sdxl.unet | unet,
        vae=sdxl.vae | vae,
        text_encoder=sdxl.text_encoder | _TEXT,
        text_encoder_2=(sdxl.text_encoder_2 or {}) | _TEXT | {"projection_dim": _FEATURE},
        image_encoder=sdxl.image_encoder | vision,
    )


def write_small_sdxl(folder: Path, architecture: Architecture | None = None) -> Backbone:
    """Writes one into `folder`, by default `small_sdxl()`, and returns the settings that load it."""
    write_random_backbone(folder, architecture or small_sdxl())
    return Backbone(model=str(folder), ip_adapter=str(folder / "ip_adapter.bin"))
