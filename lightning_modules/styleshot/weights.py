"""StyleShot's networks: of its two files, `style_aware_encoder.bin` and `ip.bin`, or new for their training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import init_empty_weights
from diffusers import ControlNetModel
from torch import Tensor, nn
from transformers import CLIPVisionConfig

from lightning_modules.diffusion.ip_adapter import attention_keys, cross_attention_layers
from lightning_modules.styleshot.encoder import LEVELS, StyleEncoder, StyleEncoderConfig, StyleProjection
from lightning_modules.styleshot.pyramid import MAP_CHANNELS, PatchSizes
from lightning_modules.tensor_files import check_tensors, key_faults, part_of, read_tensors

M = TypeVar("M")

_VISION = "image_encoder.vision_model"
_HEADS, _LAYERS, _CONTROLNET = "style_image_proj_modules.", "adapter_modules.", "controlnet."
# The UNet that the weights were trained in; its own tensors are not StyleShot's.
_UNET = "unet."
_MAPS = "controlnet_cond_embedding."
_EXPECTED = "Expected StyleShot's own file, `.bin` or the same tensors as `.safetensors`: copy it again."


class StyleShotWeights(NamedTuple):
    """The parts of `ip.bin`, keys without their prefix."""

    heads: dict[str, Tensor]  # `{level}.proj.weight`, ... of the projection's three heads
    attention: dict[str, Tensor]  # `{k}.to_k_ip.weight` and `{k}.to_v_ip.weight`, k = 1, 3, ..., as in an IP-Adapter
    controlnet: dict[str, Tensor]  # the content-fusion encoder's; empty where the file has none


def load_style_encoder(path: Path, heads: int = 16, permutations: int = 0, seed: int = 0) -> StyleEncoder:
    """The style encoder of `style_aware_encoder.bin`, in the file's precision; all sizes but `heads` are read off it.

    Raises ValueError where keys are missing or unknown, or the tensors' sizes do not fit each other.
    """
    # Transformers before 4.31 saved this buffer too.
    read = read_tensors(path, "--model.backbone.style_encoder", _EXPECTED).content
    tensors = {key: tensor for key, tensor in read.items() if key.rpartition(".")[2] != "position_ids"}
    try:
        config = _sizes(tensors, heads)
    except KeyError:
        config = StyleEncoderConfig()  # whose keys then tell what is missing
    with init_empty_weights():
        encoder = StyleEncoder(config, permutations, seed)
    _fill(encoder, tensors, "style_encoder", path)
    return encoder.eval()


def read_styleshot(path: Path, layers: Sequence[str]) -> StyleShotWeights:
    """Reads `ip.bin`, or a safetensors file that kept only one of the two names of each attention weight.

    `layers` are the UNet's `cross_attention_layers`. Raises ValueError for missing or unknown keys.
    """
    # Mapped, since `ip.bin` holds a whole UNet besides.
    tensors = read_tensors(path, "--model.backbone.ip_adapter", _EXPECTED, mapped=True).content
    with init_empty_weights():
        heads = [f"{_HEADS}{key.removeprefix('heads.')}" for key in StyleProjection(1, 1).state_dict()]
    keys = attention_keys(layers).items()
    names = {f"{_LAYERS}{key}": f"{_UNET}{layer}.processor.to_{kind}_ip.weight" for key, (layer, kind) in keys}
    # A retrained UNet holds the same tensors as `adapter_modules`, and safetensors stores a shared tensor once.
    own = {key: tensor for key, tensor in tensors.items() if not key.startswith((_UNET, _CONTROLNET))}
    own |= {key: tensors[alias] for key, alias in names.items() if key not in own and alias in tensors}
    _check_keys(own, [*heads, *names], "ip_adapter", path)
    used = {key: tensor for key, tensor in tensors.items() if key.startswith(_CONTROLNET)}
    check_tensors(own | used, path, "--model.backbone.ip_adapter", _EXPECTED)
    return StyleShotWeights(*(part_of(own | used, prefix) for prefix in (_HEADS, _LAYERS, _CONTROLNET)))


def build_style_projection(heads: Mapping[str, Tensor], dim: int, token_dim: int) -> StyleProjection:
    """The projection of a file for style features of size `dim` and tokens of `token_dim`; ValueError for others."""
    own_dim, own_token_dim = heads["0.proj.weight"].shape[1], heads["0.norm.weight"].shape[0]
    if own_dim != dim:
        raise ValueError(
            f"`ip_adapter` was trained on style features of size {own_dim}, but `style_encoder` gives size {dim}. "
            "Use the two files of the same StyleShot (`ip.bin` and `style_aware_encoder.bin`)."
        )
    if own_token_dim != token_dim:
        raise ValueError(
            f"`ip_adapter` gives tokens of size {own_token_dim}, but the UNet of `model` attends to size {token_dim}. "
            "The published StyleShot belongs to Stable Diffusion 1.5 (768)."
        )
    with init_empty_weights():
        projection = StyleProjection(dim, token_dim)
    _fill(projection.heads, heads, "ip_adapter", _HEADS.rstrip("."))
    return projection.eval()


def build_controlnet(unet: Any, weights: Mapping[str, Tensor]) -> ControlNetModel:
    """The ControlNet of a file, in its precision; ValueError where it has none, or not that of the UNet."""
    if not weights:
        raise ValueError(
            "`content_fusion` asks for StyleShot's ControlNet, but `ip_adapter` holds none of its tensors "
            "(`controlnet.*`). Name a file of StyleShot that was trained on content maps too, such as the public "
            "`ip.bin`, or set `content_fusion` to false to draw from prompts alone."
        )
    with init_empty_weights():
        controlnet = _empty_controlnet(unet, _map_channels(weights))
    _fill(controlnet, weights, "ip_adapter", "controlnet")
    return controlnet.eval()


def ip_tensors(state: Mapping[str, Tensor], prefix: str, layers: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of `ip.bin`, but for the UNet's own, of the state dict of a whole model that has them at `prefix`."""
    own = part_of(state, prefix)
    keys = attention_keys(layers).items()
    attention = {key: own[f"{_UNET}{layer}.processor.to_{kind}_ip.0.weight"] for key, (layer, kind) in keys}
    parts = {_HEADS: part_of(own, "image_projection.heads."), _LAYERS: attention}
    parts[_CONTROLNET] = part_of(own, _CONTROLNET)
    return {f"{name}{key}": tensor for name, part in parts.items() for key, tensor in part.items()}


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


def controlnet_from_unet(unet: Any, map_channels: Sequence[int] = MAP_CHANNELS, seed: int = 0) -> ControlNetModel:
    """A ControlNet to be trained: the UNet's own weights but for its image attention, and maps without effect yet.

    `map_channels` are as `pyramid.MAP_CHANNELS`, of convolutions whose first weights `seed` decides.
    """
    controlnet = _seeded(seed, lambda: _empty_controlnet(unet, map_channels))
    own = unet.state_dict()
    controlnet.load_state_dict({key: own[key] for key in controlnet.state_dict() if key in own}, strict=False)
    return controlnet


def _empty_controlnet(unet: Any, channels: Sequence[int]) -> ControlNetModel:
    options = {"conditioning_embedding_out_channels": tuple(channels), "load_weights_from_unet": False}
    return ControlNetModel.from_unet(unet, **options)


def _seeded(seed: int, make: Callable[[], M]) -> M:
    """What `make` makes with the weights of a seed, the same whatever the device."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)
        return make()


def _sizes(tensors: Mapping[str, Tensor], heads: int) -> StyleEncoderConfig:
    """Sizes of the encoder that has these weights; `KeyError` where a weight that tells them is missing."""
    pixels = tensors["cnn.0.conv_in.weight"].shape[1] // 3
    channels = []
    for cnn in (f"cnn.{level}" for level in range(len(LEVELS))):
        blocks = [f"body.{place}.block1" for place in range(_count(tensors, f"{cnn}.body."))]
        channels.append(tuple(tensors[f"{cnn}.{name}.weight"].shape[0] for name in ("conv_in", *blocks)))
    return StyleEncoderConfig(tuple(channels), isqrt(pixels), _vision_sizes(tensors, heads))


def _vision_sizes(tensors: Mapping[str, Tensor], heads: int) -> CLIPVisionConfig:
    patch_size = tensors[f"{_VISION}.embeddings.patch_embedding.weight"].shape[-1]
    positions = tensors[f"{_VISION}.embeddings.position_embedding.weight"].shape[0]
    width = tensors[f"{_VISION}.pre_layrnorm.weight"].shape[0]
    if width % heads:
        raise ValueError(f"`heads` must divide the width {width} of the style encoder's CLIP layers; got {heads}.")
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=tensors[f"{_VISION}.encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_count(tensors, f"{_VISION}.encoder.layers."),
        num_attention_heads=heads,
        image_size=patch_size * isqrt(positions - 1),
        patch_size=patch_size,
        projection_dim=tensors["image_encoder.visual_projection.weight"].shape[0],
        hidden_act="gelu",
    )


def _count(tensors: Iterable[str], prefix: str) -> int:
    """Number of the numbered parts `{prefix}0.`, `{prefix}1.`, ..., by the last of them."""
    numbers = (key.removeprefix(prefix).partition(".")[0] for key in tensors if key.startswith(prefix))
    return max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)


def _map_channels(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The channels that the weights have; the published ones where a weight that tells them is missing."""
    halving = [f"blocks.{place}" for place in range(1, _count(weights, f"{_MAPS}blocks."), 2)]
    keys = [f"{_MAPS}{name}.weight" for name in ("conv_in", *halving)]
    if any(key not in weights for key in keys):
        return MAP_CHANNELS  # whose keys then tell what is missing
    return tuple(weights[key].shape[0] for key in keys)


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], argument: str, place: Path | str) -> None:
    """Gives a module without weights these, which must have its keys and shapes."""
    expected = module.state_dict()
    _check_keys(tensors, expected, argument, place)
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise ValueError(
                f"`{argument}`: {key} in {place} must be {tuple(expected[key].shape)} to fit the other tensors; got "
                f"{tuple(tensor.shape)}. Use StyleShot's own file."
            )
    module.load_state_dict(dict(tensors), assign=True)


def _check_keys(tensors: Iterable[str], expected: Iterable[str], argument: str, place: Path | str) -> None:
    if faults := key_faults(tensors, expected):
        raise ValueError(
            f"`{argument}`: {place} does not hold StyleShot's tensors: {faults}. Use StyleShot's own file, and the "
            "base in `model` that it was trained with."
        )
