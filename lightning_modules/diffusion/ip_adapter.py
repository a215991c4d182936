"""IP-Adapter (Ye et al., arXiv 2308.06721): its two file formats, its projection P and its attention layers."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from lightning_modules.tensor_files import read_tensors

_PROJECTION_KEYS = ("proj.weight", "proj.bias", "norm.weight", "norm.bias")
_EXPECTED = "Expected a plain IP-Adapter (`.bin` or `.safetensors`) made for the base in `model`: copy it again."


class IPAdapterWeights(NamedTuple):
    """The two parts of an IP-Adapter file, keys without their prefix."""

    image_proj: dict[str, Tensor]
    ip_adapter: dict[str, Tensor]


class ImageProjection(nn.Module):
    """P: an image feature to image tokens, `LayerNorm(reshape(Linear(v)))`.

    Args:
        dim: size D of the image feature.
        num_tokens: number T of image tokens.
        token_dim: size C of a token, the UNet's cross-attention size.
    """

    def __init__(self, dim: int, num_tokens: int, token_dim: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.proj = nn.Linear(dim, num_tokens * token_dim)
        self.norm = nn.LayerNorm(token_dim)

    @property
    def dim(self) -> int:
        """Size of the image feature."""
        return self.proj.in_features

    def forward(self, feature: Tensor) -> Tensor:
        """Image tokens `(batch, T, C)` of features `(batch, D)`, whatever their precision.

        Raises:
            ValueError: the feature has another shape.
        """
        dim = self.proj.in_features
        if feature.ndim != 2 or feature.shape[1] != dim:
            raise ValueError(
                f"`feature` must be (batch, {dim}) for this IP-Adapter; got {tuple(feature.shape)}. "
                "Use the CLIP image encoder that the IP-Adapter was trained with."
            )
        tokens = self.proj(feature.to(self.proj.weight.dtype))
        return self.norm(tokens.unflatten(1, (self.num_tokens, -1)))


def read_ip_adapter(path: Path) -> IPAdapterWeights:
    """Reads an IP-Adapter, nested (`.bin`, a pickled dictionary) or flat (`.safetensors`).

    Raises:
        ValueError: the file is damaged, holds other parts than `image_proj` and `ip_adapter`, or is a "plus" adapter.
    """
    content = read_tensors(path, "--model.backbone.ip_adapter", _EXPECTED).content
    parts = _nested(content) if path.suffix == ".safetensors" else content
    if set(parts) != {"image_proj", "ip_adapter"}:
        raise ValueError(
            f"`ip_adapter` must be a file with the parts image_proj and ip_adapter; {path} has {_listed(parts)}."
        )
    weights = IPAdapterWeights(parts["image_proj"], parts["ip_adapter"])
    _check_projection_keys(weights.image_proj, path)
    return weights


def _nested(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def _check_projection_keys(image_proj: Mapping[str, Tensor], path: Path) -> None:
    if {"latents", "proj_in.weight", "proj.0.weight"} & set(image_proj):
        raise ValueError(
            f"`ip_adapter`: {path} is a 'plus' or 'full' IP-Adapter, which reads patch features. These have no "
            "text-aligned vector, so neither masking nor subtraction applies. Use the plain adapter in its place, "
            "for example ip-adapter_sd15.safetensors or ip-adapter_sdxl.safetensors of h94/IP-Adapter."
        )
    _check_keys("image_proj", image_proj, _PROJECTION_KEYS)


def build_projection(image_proj: Mapping[str, Tensor], token_dim: int) -> ImageProjection:
    """P with the weights of a file; sizes D and T are read off the weights.

    Raises:
        ValueError: the tokens do not fit a UNet with cross-attention size `token_dim`.
    """
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


def install_attention(unet: Any, weights: Mapping[str, Tensor], num_tokens: int) -> None:
    """Gives each cross-attention layer its `to_k_ip` and `to_v_ip`, in place.

    Args:
        unet: a UNet2DConditionModel.
        weights: `{k}.to_k_ip.weight` and `{k}.to_v_ip.weight`, k = 1, 3, 5, ... over the cross-attention layers.
        num_tokens: number of image tokens.

    Raises:
        ValueError: keys are missing or unknown, or a weight has another shape than the layer's own `to_k`.
    """
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

    layers = cross_attention_layers(unet)
    numbered = {2 * place + 1: layer for place, layer in enumerate(layers)}
    _check_keys("ip_adapter", weights, [f"{k}.to_{kind}_ip.weight" for k in numbered for kind in "kv"])
    processors = unet.attn_processors
    for k, layer in numbered.items():
        own = unet.get_submodule(layer).to_k.weight
        processor = IPAdapterAttnProcessor2_0(own.shape[0], own.shape[1], num_tokens=(num_tokens,))
        for kind in "kv":
            weight = weights[f"{k}.to_{kind}_ip.weight"]
            _check_shape(f"{k}.to_{kind}_ip.weight", weight, own, layer)
            processor.get_parameter(f"to_{kind}_ip.0.weight").data.copy_(weight)
        processors[f"{layer}.processor"] = processor.to(own)
    unet.set_attn_processor(processors)


def _check_keys(part: str, weights: Mapping[str, Tensor], expected: Iterable[str]) -> None:
    missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or unknown:
        raise ValueError(
            f"`ip_adapter`: the part {part} does not fit this UNet: missing keys {_listed(missing)}, unknown keys "
            f"{_listed(unknown)}. Use a plain IP-Adapter made for the base in `model`."
        )


def _check_shape(key: str, weight: Tensor, own: Tensor, layer: str) -> None:
    if weight.shape != own.shape:
        raise ValueError(
            f"`ip_adapter`: {key} must be {tuple(own.shape)} for the layer {layer}; got {tuple(weight.shape)}. "
            "Use an IP-Adapter made for the base in `model`."
        )


def _listed(names: Iterable[str], most: int = 10) -> str:
    shown = list(names)
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return (", ".join(shown[:most]) or "none") + rest
