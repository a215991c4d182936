"""Linear layers as convolutions, which processors without MKL's own kernels compute twice as fast."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightning_modules.diffusion.replaced import replaced_forward


@contextmanager
def linear_as_convolution(network: nn.Module) -> Iterator[None]:
    """In a `with` block without gradients, hands the linear layers of a network at work on a CPU to oneDNN.

    PyTorch gives those in float32 to MKL, whose products reach half of oneDNN's speed on AMD's processors; a
    convolution of one pixel is the same sum and goes to oneDNN. Results differ in rounding at most. Compiled networks
    and other precisions are left as they are.
    """
    with replaced_forward({layer: _convolution(layer) for layer in _linear_layers(network)}):
        yield


def _linear_layers(network: nn.Module) -> Iterator[nn.Linear]:
    if network._compiled_call_impl or not torch.backends.mkldnn.is_available():
        return
    for layer in network.modules():
        # A subclass may do more than its weight says, as those of quantisation do.
        if type(layer) is nn.Linear and layer.weight.dtype == torch.float32:
            yield layer


def _convolution(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        """`layer` of `x` `(..., in)`, as an image of one column whose channels come last in memory."""
        column = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        column = conv2d(column, layer.weight[:, :, None, None], layer.bias)
        return column.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)

    return forward
