"""IP-Adapter (Ye et al., arXiv 2308.06721): its two file formats, its projection P, its attention layers and scales."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from datamodules.reading import listed
from lightning_modules.tensor_files import key_faults, part_of, read_tensors

Scale = float | Mapping[str, float]

_EXPECTED = "Expected a plain IP-Adapter (`.bin` or `.safetensors`) made for the base in `model`: copy it again."


class IPAdapterWeights(NamedTuple):
    """The two parts of an IP-Adapter file, keys without their prefix."""

    image_proj: Mapping[str, Tensor]
    ip_adapter: Mapping[str, Tensor]


class ImageProjection(nn.Module):
    """P: image features of size `dim` to `num_tokens` tokens of size `token_dim`, `LayerNorm(reshape(Linear(v)))`."""

    def __init__(self, dim: int, num_tokens: int, token_dim: int) -> None:
        super().__init__()
        self.dim, self.num_tokens = dim, num_tokens
        self.proj = nn.Linear(dim, num_tokens * token_dim)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, feature: Tensor) -> Tensor:
        """Image tokens `(batch, T, C)` of features `(batch, D)` of any precision; ValueError for other shapes."""
        if feature.ndim != 2 or feature.shape[1] != self.dim:
            raise ValueError(
                f"`feature` must be (batch, {self.dim}) for this IP-Adapter; got {tuple(feature.shape)}. "
                "Use the CLIP image encoder that the IP-Adapter was trained with."
            )
        tokens = self.proj(feature.to(self.proj.weight.dtype))
        return self.norm(tokens.unflatten(1, (self.num_tokens, -1)))


def read_ip_adapter(path: Path) -> IPAdapterWeights:
    """Reads an IP-Adapter, nested (`.bin`, a pickled dictionary) or flat (`.safetensors`), and no other."""
    parts = read_tensors(path, "--model.backbone.ip_adapter", _EXPECTED).content
    if path.suffix == ".safetensors":
        names = dict.fromkeys(key.partition(".")[0] for key in parts)
        parts = {name: part_of(parts, f"{name}.") for name in names}
    if set(parts) != {"image_proj", "ip_adapter"}:
        raise ValueError(
            f"`ip_adapter` must be a file with the parts image_proj and ip_adapter; {path} has "
            f"{listed(parts, most=10, between=', ') or 'none'}."
        )
    weights = IPAdapterWeights(**parts)
    if {"latents", "proj_in.weight", "proj.0.weight"} & set(weights.image_proj):
        raise ValueError(
            f"`ip_adapter`: {path} is a 'plus' or 'full' IP-Adapter, which reads patch features. These have no "
            "text-aligned vector, so neither masking nor subtraction applies. Use the plain adapter in its place, "
            "for example ip-adapter_sd15.safetensors or ip-adapter_sdxl.safetensors of h94/IP-Adapter."
        )
    _check_keys("image_proj", weights.image_proj, ("proj.weight", "proj.bias", "norm.weight", "norm.bias"))
    return weights


def build_projection(image_proj: Mapping[str, Tensor], token_dim: int) -> ImageProjection:
    """P with the weights of a file, by which D and T are known; ValueError where the UNet's `token_dim` is another."""
    size, dim = image_proj["proj.weight"].shape[:2]
    own_dim = image_proj["norm.weight"].shape[0]
    if own_dim != token_dim or size % own_dim:
        raise ValueError(
            f"`ip_adapter` gives tokens of size {own_dim} ({size} outputs), but the UNet of `model` attends to size "
            f"{token_dim}. Use an IP-Adapter made for this base (768: Stable Diffusion 1.5, 2048: SDXL)."
        )
    projection = ImageProjection(dim, size // own_dim, own_dim)
    projection.load_state_dict(dict(image_proj))
    return projection


def cross_attention_layers(unet: Any) -> list[str]:
    """Names of the UNet's cross-attention layers in the order of the weight files: down, up, mid."""
    return [name.removesuffix(".processor") for name in unet.attn_processors if name.endswith("attn2.processor")]


def attention_keys(layers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Layer and kind ("k", "v") of `{k}.to_k_ip.weight` and `{k}.to_v_ip.weight`, k = 1, 3, ..., of a weight file."""
    places = ((2 * place + 1, layer) for place, layer in enumerate(layers))
    return {f"{k}.to_{kind}_ip.weight": (layer, kind) for k, layer in places for kind in "kv"}


def install_attention(unet: Any, weights: Mapping[str, Tensor], num_tokens: int) -> None:
    """Gives each cross-attention layer of a UNet2DConditionModel its `to_k_ip` and `to_v_ip`, in place.

    `weights` have the names of `attention_keys`. Raises ValueError where keys are missing or unknown, or a weight has
    another shape than the layer's own `to_k`.
    """
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

    layers = cross_attention_layers(unet)
    keys = attention_keys(layers)
    _check_keys("ip_adapter", weights, keys)
    own = {layer: unet.get_submodule(layer).to_k.weight for layer in layers}
    made = {layer: IPAdapterAttnProcessor2_0(*own[layer].shape, num_tokens=(num_tokens,)) for layer in layers}
    for key, (layer, kind) in keys.items():
        if weights[key].shape != own[layer].shape:
            raise ValueError(
                f"`ip_adapter`: {key} must be {tuple(own[layer].shape)} for the layer {layer}; got "
                f"{tuple(weights[key].shape)}. Use an IP-Adapter made for the base in `model`."
            )
        made[layer].get_parameter(f"to_{kind}_ip.0.weight").data.copy_(weights[key])
    processors = {f"{layer}.processor": processor.to(own[layer]) for layer, processor in made.items()}
    unet.set_attn_processor({**unet.attn_processors, **processors})


def _check_keys(part: str, weights: Mapping[str, Tensor], expected: Iterable[str]) -> None:
    if faults := key_faults(weights, expected):
        raise ValueError(
            f"`ip_adapter`: the part {part} does not fit this UNet: {faults}. Use a plain IP-Adapter made for the base "
            "in `model`."
        )


def block_scales(scale: Scale, target_blocks: str | Sequence[str], presets: Mapping[str, Sequence[str]]) -> Scale:
    """One number for the blocks of `target_blocks` alone: all, those of a preset (or ValueError), or the named."""
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
    """Sets scales of a UNet with IP-Adapter attention in a `with` block, and puts the former ones back.

    Args:
        scale: one number, or block name ("up_blocks.0", "up_blocks.0.attentions.1") to number, all other layers being
            0; where two names hold the same layer, the longer name counts. ValueError for a name that the UNet lacks.
        shares: weight of each set of image tokens, by which its scale is multiplied. Each set has an attention
            (softmax) of its own, all with the same matrices.
    """
    layers = cross_attention_layers(unet)
    names = block_names(layers)
    if unknown := [name for name in (scale if isinstance(scale, Mapping) else ()) if name not in names]:
        raise ValueError(
            f"`scale` or `target_blocks` names {', '.join(map(repr, unknown))}, which this UNet does not have or which "
            f"holds no cross-attention. It has: {', '.join(names)}."
        )
    processors = {layer: unet.get_submodule(layer).processor for layer in layers}
    before = [(each.scale, each.to_k_ip, each.to_v_ip) for each in processors.values()]
    for layer, processor in processors.items():
        processor.scale = [_scale_of(layer, scale) * share for share in shares]
        processor.to_k_ip = nn.ModuleList([processor.to_k_ip[0]] * len(shares))
        processor.to_v_ip = nn.ModuleList([processor.to_v_ip[0]] * len(shares))
    try:
        yield
    finally:
        for processor, former in zip(processors.values(), before, strict=True):
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
