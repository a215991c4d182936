"""StyleShot before its training: CLIP's layers under new CNNs, and image attention that starts from the text's."""

from typing import Any

import torch
from torch import Tensor

from lightning_modules.diffusion.ip_adapter import cross_attention_layers
from lightning_modules.styleshot.encoder import StyleEncoder, StyleEncoderConfig, StyleProjection
from lightning_modules.styleshot.sizes import PatchSizes


def new_style_encoder(image_encoder: Any, sizes: PatchSizes, seed: int) -> StyleEncoder:
    """A style encoder whose transformer is that of a CLIP image encoder; its CNNs are new.

    Args:
        image_encoder: a CLIPVisionModelWithProjection.
        sizes: of the CNNs.
        seed: of all that is new, the same weights whatever the device.
    """
    vision = type(image_encoder.config).from_dict({**image_encoder.config.to_dict(), "hidden_act": "gelu"})
    config = StyleEncoderConfig(tuple(map(tuple, sizes.channels)), sizes.unshuffle, vision)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)
        encoder = StyleEncoder(config)
    encoder.image_encoder.load_state_dict(image_encoder.state_dict())
    return encoder


def new_projection(dim: int, token_dim: int, seed: int) -> StyleProjection:
    """New heads for features of size `dim` and tokens of size `token_dim`."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)
        return StyleProjection(dim, token_dim)


def text_attention(unet: Any) -> dict[str, Tensor]:
    """Copies of the keys and values of the text as `{k}.to_k_ip.weight` and `{k}.to_v_ip.weight`."""
    weights = {}
    for place, layer in enumerate(cross_attention_layers(unet)):
        attention = unet.get_submodule(layer)
        weights[f"{2 * place + 1}.to_k_ip.weight"] = attention.to_k.weight.detach().clone()
        weights[f"{2 * place + 1}.to_v_ip.weight"] = attention.to_v.weight.detach().clone()
    return weights
