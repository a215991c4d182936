"""Whether a device can compute in a precision."""

import torch
from torch.nn import functional

from lightning_modules.diffusion.config import Backbone


def check_precision(device: torch.device, backbone: Backbone) -> None:
    """Tries the kernels that the networks are made of, in the backbone's precision.

    Raises:
        ValueError: the device lacks one of them.
    """
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
