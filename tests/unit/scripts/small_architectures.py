"""Both families in small: every part, key and file of the full size, in narrow networks."""

from dataclasses import replace
from typing import Any

from scripts.architectures import ARCHITECTURES, Architecture

_UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
}
_VAE: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
}
_TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_TEXT, "image_size": 28, "projection_dim": 12}


def small(family: str) -> Architecture:
    """A narrow version of a family; image features have 12 elements."""
    made = ARCHITECTURES[family]
    text = {"text_encoder": made.text_encoder | _TEXT, "image_encoder": made.image_encoder | _VISION}
    vae = made.vae | _VAE
    if made.text_encoder_2 is None:
        tower = (made.text_tower or {}) | _TEXT | {"projection_dim": 12}
        cross = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
        return replace(made, unet=_UNET | cross, vae=vae, text_tower=tower, **text)
    second = made.text_encoder_2 | _TEXT | {"projection_dim": 12}
    unet = (
        made.unet
        | _UNET
        | {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2),
            "attention_head_dim": (1, 2),
            "cross_attention_dim": 32,
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 12 + 6 * 4,
        }
    )
    return replace(made, unet=unet, vae=vae, text_encoder_2=second, **text)
