"""Counts what one UNet call and its backward pass cost, on tensors that have shapes and no data.

Attention is counted as the fused kernels compute it: they keep q, k, v, their output and one float32 number for each
row and head, never the matrix, and compute the scores again in the backward pass.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from lightning_modules.diffusion.ip_adapter import install_attention
from scripts.architectures import Architecture, random_ip_adapter

_DTYPE = torch.bfloat16
_TEXT_TOKENS = 77


class Work(NamedTuple):
    """What a UNet with an IP-Adapter costs: FLOPs, and bytes kept for the backward pass of one reference.

    One row is a forward pass, two are a denoising step with guidance; a training step of one reference is two rows
    forward and backward. `recomputed` is what the largest checkpointed block keeps when it is computed again.
    """

    forward: int
    denoising_step: int
    training_step: int
    kept: int
    kept_checkpointed: int
    recomputed: int


def measure(architecture: Architecture, resolution: int) -> Work:
    """Runs the UNet on tensors without data; ValueError where the VAE has no latents for `resolution`."""
    side = _latent_side(architecture, resolution)
    with FakeTensorMode():
        unet = fake_unet(architecture)

        def run(rows: int, trained: bool = False) -> Callable[[], Tensor]:
            return lambda: unet(**unet_inputs(architecture, side, rows, trained), return_dict=False)[0]

        with torch.no_grad():
            forward, denoising = (count_flops(run(rows)) for rows in (1, 2))
        training = count_flops(lambda: run(2, trained=True)().sum().backward())
        weights = list(unet.parameters())
        kept = kept_bytes(run(2, trained=True), weights)
        blocks = [0]

        def checkpointed(block: nn.Module, *args: Any) -> Any:
            blocks.append(kept_bytes(lambda: block(*args), weights))  # so that a block runs twice
            return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)

        unet.enable_gradient_checkpointing(checkpointed)
        return Work(forward, denoising, training, kept, kept_bytes(run(2, trained=True), weights), max(blocks))


def fake_unet(architecture: Architecture) -> Any:
    """The frozen UNet with its IP-Adapter in 16 bit; to be called within a FakeTensorMode."""
    with torch.device("meta"):
        unet = architecture.build("unet").eval()
        install_attention(unet, random_ip_adapter(architecture, _DTYPE)["ip_adapter"], architecture.image_tokens)
    # Tensors without data that claim to be on the CPU: on the meta device, attention would keep its matrix.
    for module in unet.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            empty = torch.empty(weight.shape, dtype=_DTYPE, device="cpu")
            module.register_parameter(name, nn.Parameter(empty, requires_grad=False))
    return unet


def unet_inputs(architecture: Architecture, side: int, rows: int, trained: bool) -> dict[str, Any]:
    """What the UNet is given for latents of `side`; gradients are asked of the image tokens, if at all."""
    width, pooled = architecture.unet["cross_attention_dim"], architecture.text_encoder_2
    tokens = torch.ones(rows, architecture.image_tokens, width, dtype=_DTYPE, requires_grad=trained)
    sizes = {"text_embeds": pooled["projection_dim"], "time_ids": 6} if pooled else {}
    return {
        "sample": torch.zeros(rows, 4, side, side, dtype=_DTYPE),
        "timestep": torch.zeros(rows, dtype=torch.long),
        "encoder_hidden_states": (torch.zeros(rows, _TEXT_TOKENS, width, dtype=_DTYPE), [tokens]),
        "added_cond_kwargs": {name: torch.zeros(rows, size, dtype=_DTYPE) for name, size in sizes.items()},
    }


def count_flops(function: Callable[[], object]) -> int:
    """FLOPs of the matrix products, convolutions and attentions in a call, backward passes included."""
    aten = torch.ops.aten
    # Tensors without data have no CUDA here; torch knows the fused attention of the CPU, but not its formulas.
    fused: dict[Any, Callable[..., int]] = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: int(sdpa_flop_count(q, k, v)),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda out, q, k, v, *_, **__: int(sdpa_backward_flop_count(out, q, k, v))
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        function()
    return int(counter.get_total_flops())


def kept_bytes(function: Callable[[], object], weights: Iterable[Tensor]) -> int:
    """Bytes of the storages that a call saves for its backward pass, each once, without those of `weights`."""
    known = {weight.untyped_storage()._cdata for weight in weights}
    kept: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage.nbytes(), tensor  # held, lest its address is given to another storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    del result
    return sum(size for size, _ in kept.values())


def _latent_side(architecture: Architecture, resolution: int) -> int:
    factor = 2 ** (len(architecture.vae["block_out_channels"]) - 1)
    if resolution < factor or resolution % factor:
        raise ValueError(
            f"`resolution` must be a multiple of {factor} pixels, the step of the VAE; got {resolution}. "
            f"The model was trained for {factor * architecture.unet['sample_size']}."
        )
    return int(resolution // factor)
