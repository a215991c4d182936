"""The weight of the image tokens in each cross-attention layer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from lightning_modules.diffusion.ip_adapter import cross_attention_layers

Scale = float | Mapping[str, float]


def set_scales(unet: Any, scale: Scale) -> None:
    """Sets the scale of every layer, or of the layers inside each named block, all others being 0.

    Where two names hold the same layer, the longer name counts.

    Args:
        unet: a UNet2DConditionModel with installed IP-Adapter attention.
        scale: one number, or block name ("up_blocks.0", "up_blocks.0.attentions.1") to number.

    Raises:
        ValueError: a name that the UNet does not have.
    """
    layers = cross_attention_layers(unet)
    if isinstance(scale, Mapping):
        _check_names(scale, layers)
    for layer in layers:
        unet.get_submodule(layer).processor.scale = [_scale_of(layer, scale)]


def block_scales(scale: Scale, target_blocks: str | Sequence[str], presets: Mapping[str, Sequence[str]]) -> Scale:
    """One number for the blocks of `target_blocks` alone: all, those of a preset, or those that are named.

    Raises:
        ValueError: a preset that the model does not have.
    """
    if target_blocks == "all" or isinstance(scale, Mapping):
        return scale
    if isinstance(target_blocks, str):
        if target_blocks not in presets:
            raise ValueError(
                f'`target_blocks` must be "all", one of {", ".join(map(repr, presets))}, or a list of block names; '
                f"got {target_blocks!r}."
            )
        target_blocks = presets[target_blocks]
    return dict.fromkeys(target_blocks, scale)


@contextmanager
def scaled(unet: Any, scale: Scale, shares: Sequence[float] = (1.0,)) -> Iterator[None]:
    """Sets scales for the duration of a `with` block and puts the former ones back, so training is not affected.

    Args:
        unet: a UNet2DConditionModel with installed IP-Adapter attention.
        scale: see `set_scales`.
        shares: weight of each set of image tokens, by which its scale is multiplied. Each set has an attention
            (softmax) of its own, all with the same matrices.
    """
    processors = [unet.get_submodule(layer).processor for layer in cross_attention_layers(unet)]
    before = [(processor.scale, processor.to_k_ip, processor.to_v_ip) for processor in processors]
    set_scales(unet, scale)
    for processor in processors:
        [own] = processor.scale
        processor.scale = [own * share for share in shares]
        processor.to_k_ip = nn.ModuleList([processor.to_k_ip[0]] * len(shares))
        processor.to_v_ip = nn.ModuleList([processor.to_v_ip[0]] * len(shares))
    try:
        yield
    finally:
        for processor, former in zip(processors, before, strict=True):
            processor.scale, processor.to_k_ip, processor.to_v_ip = former


def block_names(layers: list[str]) -> list[str]:
    """Blocks and attentions that hold the given layers, in their order."""
    attentions = [layer.split(".transformer_blocks.")[0] for layer in layers]
    return list(dict.fromkeys(name for full in attentions for name in (full.split(".attentions.")[0], full)))


def _scale_of(layer: str, scale: Scale) -> float:
    if not isinstance(scale, Mapping):
        return float(scale)
    holding = [name for name in scale if layer.startswith(f"{name}.")]
    return float(scale[max(holding, key=len)]) if holding else 0.0


def _check_names(scale: Mapping[str, float], layers: list[str]) -> None:
    names = block_names(layers)
    unknown = [name for name in scale if name not in names]
    if unknown:
        raise ValueError(
            f"`scale` or `target_blocks` names {', '.join(map(repr, unknown))}, which this UNet does not have or which "
            f"holds no cross-attention. It has: {', '.join(names)}."
        )
