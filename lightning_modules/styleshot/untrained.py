"""StyleShot's networks that are built around a UNet or a CLIP: from a file, or new for their training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from diffusers import ControlNetModel
from torch import Tensor

from lightning_modules.diffusion.ip_adapter import attention_keys, cross_attention_layers
from lightning_modules.styleshot.encoder import StyleEncoder, StyleEncoderConfig, StyleProjection
from lightning_modules.styleshot.pyramid import MAP_CHANNELS, PatchSizes
from lightning_modules.styleshot.weights import count, fill

M = TypeVar("M")
_MAP_BLOCKS = "controlnet_cond_embedding.blocks."


def new_style_encoder(image_encoder: Any, sizes: PatchSizes, seed: int) -> StyleEncoder:
    """A style encoder with the transformer of a CLIPVisionModelWithProjection; its CNNs are new, as `seed` decides."""
    vision = type(image_encoder.config).from_dict({**image_encoder.config.to_dict(), "hidden_act": "gelu"})
    config = StyleEncoderConfig(tuple(map(tuple, sizes.channels)), sizes.unshuffle, vision)
    encoder = _seeded(seed, lambda: StyleEncoder(config))
    encoder.image_encoder.load_state_dict(image_encoder.state_dict())
    return encoder


def new_projection(dim: int, token_dim: int, seed: int) -> StyleProjection:
    """New heads for features of size `dim` and tokens of size `token_dim`."""
    return _seeded(seed, lambda: StyleProjection(dim, token_dim))


def text_attention(unet: Any) -> dict[str, Tensor]:
    """Copies of the keys and values of the text as `{k}.to_k_ip.weight` and `{k}.to_v_ip.weight`."""
    keys = attention_keys(cross_attention_layers(unet)).items()
    weights = {key: getattr(unet.get_submodule(layer), f"to_{kind}").weight for key, (layer, kind) in keys}
    return {key: weight.detach().clone() for key, weight in weights.items()}


def build_controlnet(unet: Any, weights: Mapping[str, Tensor]) -> ControlNetModel:
    """The ControlNet with the weights of a file, in the file's precision, for the UNet that it steers.

    Raises:
        ValueError: there are no weights, keys are missing or unknown, or a tensor does not fit the UNet.
    """
    if not weights:
        raise ValueError(
            "`content_fusion` asks for StyleShot's ControlNet, but `ip_adapter` holds none of its tensors "
            "(`controlnet.*`). Name a file of StyleShot that was trained on content maps too, such as the public "
            "`ip.bin`, or set `content_fusion` to false to draw from prompts alone."
        )
    with init_empty_weights():
        controlnet = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=_map_channels(weights), load_weights_from_unet=False
        )
    fill(controlnet, weights, "ip_adapter", "controlnet")
    return controlnet.eval()


def controlnet_from_unet(unet: Any, map_channels: Sequence[int] = MAP_CHANNELS, seed: int = 0) -> ControlNetModel:
    """A ControlNet to be trained: the UNet's own weights but for its image attention, and maps without effect yet.

    `map_channels` are as `pyramid.MAP_CHANNELS`, of convolutions whose first weights `seed` decides.
    """
    options = {"conditioning_embedding_out_channels": tuple(map_channels), "load_weights_from_unet": False}
    controlnet = _seeded(seed, lambda: ControlNetModel.from_unet(unet, **options))
    own = unet.state_dict()
    controlnet.load_state_dict({key: own[key] for key in controlnet.state_dict() if key in own}, strict=False)
    return controlnet


def _map_channels(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The channels that the weights have; the published ones where a weight that tells them is missing."""
    halving = [f"{_MAP_BLOCKS}{place}.weight" for place in range(1, count(weights, _MAP_BLOCKS), 2)]
    first = "controlnet_cond_embedding.conv_in.weight"
    if any(key not in weights for key in (first, *halving)):
        return MAP_CHANNELS  # whose keys then tell what is missing
    return tuple(weights[key].shape[0] for key in (first, *halving))


def _seeded(seed: int, make: Callable[[], M]) -> M:
    """What `make` makes with the weights of a seed, the same whatever the device."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)
        return make()
