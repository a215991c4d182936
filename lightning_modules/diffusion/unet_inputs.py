"""What the UNet, and the ControlNet beside it, are told of each row, and how a device computes with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.ip_adapter import cross_attention_layers


class ContentMap(NamedTuple):
    """What the content-fusion ControlNet is told of each row."""

    pixels: Tensor  # (batch, 3, height, width), 0 .. 1: the lines that the picture shall keep
    tokens: Tensor  # (batch, T, C): the style, in place of a text
    scale: float  # weight of what the ControlNet adds to the UNet


class Conditions(NamedTuple):
    """What each row of the UNet is told."""

    text_states: Tensor  # (batch, tokens, text_dim)
    image_tokens: Sequence[Tensor]  # one (batch, T, C) for each reference that has an attention of its own
    added: Mapping[str, Tensor]  # further inputs by diffusers' names, (batch, ...); empty for Stable Diffusion 1 and 2
    content_map: ContentMap | None = None  # None: the picture follows no content image
    guidance: Tensor | None = None  # (batch, dim): the guidance scale, for a UNet that embeds it

    def joined(self, other: "Conditions") -> "Conditions":
        """The rows of both, these first; either both or none of them follow a content image."""
        return _of_each(lambda *rows: torch.cat(rows), self, other)

    def to(self, dtype: torch.dtype) -> "Conditions":
        """The same in another precision."""
        return _of_each(lambda part: part.to(dtype), self)


def _of_each(function: Callable[..., Tensor], *parts: Any) -> Any:
    """What a function makes of the tensors that lie in the same place; all else is that of the first."""
    first = parts[0]
    if isinstance(first, Tensor):
        return function(*parts)
    if isinstance(first, Mapping):
        return {name: _of_each(function, *(part[name] for part in parts)) for name in first}
    if not isinstance(first, Sequence):
        return first
    made = [_of_each(function, *each) for each in zip(*parts, strict=True)]
    return type(first)(*made) if isinstance(first, Conditions | ContentMap) else made


class Frozen(nn.Module):
    """Frozen networks; with `offload`, only those at work lie on the device, the others in main memory."""

    image_projection: nn.Module  # small enough to stay on the device
    _place: Tensor  # empty; lies where the networks work

    def __init__(self, offload: bool) -> None:
        super().__init__()
        self.register_buffer("_place", torch.empty(0), persistent=False)
        self._offload = offload
        self._at_work: list[nn.Module] = []  # a list, for a module would become a part of this one

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: a frozen network has no training mode."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the networks work."""
        return self._place.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follows to another device or precision; with offload the large networks follow to the latter alone."""
        if not self._offload:
            return super()._apply(fn, recurse)
        self._send_away()
        asked = {fn(torch.empty(0, dtype=dtype)).dtype for dtype in (torch.float16, torch.float32)}
        for part in self.children() if len(asked) == 1 else ():  # whatever it had before: another precision
            part.to(dtype=next(iter(asked)))
        self.image_projection._apply(fn)
        return super()._apply(fn, recurse=False)

    def _use(self, *parts: nn.Module) -> Any:
        """The first of these networks; with offload, they come to the device and those before them go away."""
        if self._offload and parts[0] not in self._at_work:
            self._send_away()
            self._at_work = [part.to(self.device) for part in parts]
        return parts[0]

    def _send_away(self) -> None:
        for part in self._at_work:
            part.to("cpu")
        self._at_work = []


def check_precision(device: torch.device, backbone: Backbone) -> None:
    """Tries the kernels that the networks are made of; ValueError where the device lacks one in this precision."""
    x = torch.zeros(1, 8, 8, 8, device=device, dtype=backbone.torch_dtype)
    try:
        y = functional.group_norm(functional.conv2d(x, x.expand(8, -1, -1, -1)[..., :3, :3], padding=1), 4)
        z = functional.silu(y).flatten(2)
        functional.scaled_dot_product_attention(z, z, z)
    except RuntimeError as error:
        raise ValueError(
            f"`dtype` is {backbone.dtype}, in which {device.type!r} cannot compute ({error}). Give "
            "`--model.backbone.dtype float32` (or bfloat16), or run on an accelerator."
        ) from error


def constant_keys(*networks: Any) -> AbstractContextManager[None]:
    """Computes cross-attention's keys and values, and a ControlNet's lines, once while their inputs are the same.

    They take `rows x tokens x width` numbers a layer. Compiled networks are left as they are.
    """
    ours = [network for network in networks if not network._compiled_call_impl]
    # The last answer is remembered; tensors are told apart as objects.
    return replaced_forward({part: lru_cache(1)(part.forward) for network in ours for part in _constant(network)})


def _constant(network: Any) -> Iterator[nn.Module]:
    """The modules of a UNet or a ControlNet whose input is the same in every step."""
    for layer in map(network.get_submodule, cross_attention_layers(network)):
        yield from (layer.to_k, layer.to_v)
        yield from (*getattr(layer.processor, "to_k_ip", ()), *getattr(layer.processor, "to_v_ip", ()))
    if (lines := getattr(network, "controlnet_cond_embedding", None)) is not None:
        yield lines


def linear_as_convolution(network: nn.Module) -> AbstractContextManager[None]:
    """In a `with` block without gradients, hands the linear layers of a network at work on a CPU to oneDNN.

    PyTorch gives those in float32 to MKL, at half of oneDNN's speed on AMD's processors; a convolution of one pixel is
    the same sum, but for rounding. Compiled networks and other precisions are left as they are.
    """
    left = network._compiled_call_impl or not torch.backends.mkldnn.is_available()
    # A subclass may do more than its weight says, as those of quantisation do.
    layers = () if left else (layer for layer in network.modules() if type(layer) is nn.Linear)
    return replaced_forward({each: _convolution(each) for each in layers if each.weight.dtype == torch.float32})


def _convolution(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        """`layer` of `x` `(..., in)`, as an image of one column whose channels come last in memory."""
        column = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        column = functional.conv2d(column, layer.weight[:, :, None, None], layer.bias)
        return column.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)

    return forward


@contextmanager
def replaced_forward(forwards: Mapping[nn.Module, Any]) -> Iterator[None]:
    """Gives modules another `forward` in a `with` block, and back what they had before."""
    before = {module: vars(module).get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module, former in before.items():
            del module.forward
            if former is not None:
                module.forward = former
