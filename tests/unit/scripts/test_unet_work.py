"""What a UNet costs, against numbers counted by hand and against real tensors."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from scripts.architectures import Architecture
from scripts.unet_work import count_flops, fake_unet, kept_bytes, measure, unet_inputs
from tests.unit.scripts.small_architectures import small


def test_a_linear_layer() -> None:
    layer = nn.Linear(5, 7).requires_grad_(False)
    x = torch.zeros(3, 5, requires_grad=True)
    assert count_flops(lambda: layer(x)) == 2 * 3 * 5 * 7
    assert count_flops(lambda: layer(x).sum().backward()) == 2 * (2 * 3 * 5 * 7)  # no gradient of the weight
    weights = list(layer.parameters())
    assert kept_bytes(lambda: layer(x), weights) == 0
    assert kept_bytes(lambda: layer(x), []) == 4 * 5 * 7
    assert kept_bytes(lambda: layer(x).exp().exp(), weights) == 2 * 4 * 3 * 7
    assert kept_bytes(lambda: layer(x.detach()).exp(), weights) == 0


def test_a_convolution_keeps_its_input_although_it_is_frozen() -> None:
    layer = nn.Conv2d(2, 6, 3, padding=1).requires_grad_(False)
    x = torch.zeros(1, 2, 8, 8, requires_grad=True)
    assert count_flops(lambda: layer(x)) == 2 * 6 * 8 * 8 * 2 * 9
    assert kept_bytes(lambda: layer(x), list(layer.parameters())) == 4 * 2 * 8 * 8


def test_a_storage_counts_once() -> None:
    x = torch.zeros(10, requires_grad=True)
    y = x.exp()
    assert kept_bytes(lambda: (x * y, y * x, y[:5] * x[:5]), []) == 2 * 4 * 10


def test_attention_keeps_no_matrix() -> None:
    with FakeTensorMode():
        q = torch.zeros(2, 3, 64, 8, requires_grad=True)
        k, v = (torch.zeros(2, 3, 32, 8, requires_grad=True) for _ in range(2))

        def attend() -> Tensor:
            return functional.scaled_dot_product_attention(q, k, v)

        product = 2 * (2 * 3) * 64 * 32 * 8
        assert count_flops(attend) == 2 * product
        assert count_flops(lambda: attend().sum().backward()) == 2 * product + 5 * product
        tensors, row_sums = 2 * 3 * (64 + 32 + 32 + 64) * 8, 2 * 3 * 64
        assert kept_bytes(attend, []) == 4 * (tensors + row_sums)


def _flops_by_hand(unet: Any, inputs: dict[str, Any], tokens: int) -> int:
    """From the sizes of the layers that run, and of the attentions."""
    total = 0

    def add(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += 2 * output.numel() * module.in_features
        elif isinstance(module, nn.Conv2d):
            total += 2 * output.numel() * module.in_channels * module.kernel_size[0] ** 2
        else:
            rows, queries, width = args[0].shape
            total += 4 * rows * queries * width * (tokens if module.is_cross_attention else queries)

    counted = [m for m in unet.modules() if isinstance(m, nn.Linear | nn.Conv2d) or type(m).__name__ == "Attention"]
    for module in counted:
        module.register_forward_hook(add, with_kwargs=True)
    unet(**inputs)
    return total


def real_unet(architecture: Architecture) -> Any:
    unet = fake_unet(architecture)  # of real tensors, outside of FakeTensorMode
    for parameter in unet.parameters():
        parameter.data.zero_()
    return unet


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_small_unet_by_hand_and_with_real_tensors(family: str) -> None:
    architecture = small(family)
    work = measure(architecture, 16)
    unet, inputs = real_unet(architecture), unet_inputs(architecture, 8, rows=2, trained=True)
    kept = kept_bytes(lambda: unet(**inputs, return_dict=False)[0], list(unet.parameters()))
    assert work.kept == pytest.approx(kept, rel=0.01)
    by_hand = _flops_by_hand(unet, inputs, 77 + 4)
    assert work.denoising_step == 2 * work.forward == by_hand
    assert work.denoising_step < work.training_step < 3 * work.denoising_step
    assert 0 < work.recomputed < work.kept_checkpointed < work.kept


def test_checkpointing_keeps_what_torch_keeps() -> None:
    architecture = small("sd15")
    unet, inputs = real_unet(architecture), unet_inputs(architecture, 8, rows=2, trained=True)
    unet.enable_gradient_checkpointing()
    kept = kept_bytes(lambda: unet(**inputs, return_dict=False)[0], list(unet.parameters()))
    assert measure(architecture, 16).kept_checkpointed == pytest.approx(kept, rel=0.01)


def test_a_resolution_without_latents_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`resolution` must be a multiple of 2 pixels.*got 15\..*trained for 16\."):
        measure(small("sd15"), 15)
