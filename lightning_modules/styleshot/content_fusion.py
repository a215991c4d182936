"""StyleShot's content-fusion encoder: a ControlNet that reads a map of the content image and the style tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import ControlNetModel
from torch import Tensor

from lightning_modules.styleshot.sizes import MAP_CHANNELS
from lightning_modules.styleshot.weights import count, fill

_MAP_BLOCKS = "controlnet_cond_embedding.blocks."


def build_controlnet(unet: Any, weights: Mapping[str, Tensor]) -> ControlNetModel:
    """The ControlNet with the weights of a file, in the file's precision.

    Args:
        unet: the UNet that it steers, which says all sizes but those of the map's convolutions.
        weights: `StyleShotWeights.controlnet`.

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
    """A ControlNet to be trained: the UNet's own weights, and maps that have no effect yet.

    Args:
        unet: the UNet that it shall steer; its image attention is not copied.
        map_channels: see `sizes.MAP_CHANNELS`.
        seed: of the convolutions that read the map.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)
        controlnet = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=tuple(map_channels), load_weights_from_unet=False
        )
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
