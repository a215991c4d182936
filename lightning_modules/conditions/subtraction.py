"""Subtraction of a content feature from the image feature."""

import torch
from torch import Tensor
from torch.nn import functional


def subtract_content(image_feature: Tensor, content: Tensor, strength: float, norm_matched: bool) -> Tensor:
    """Compute v = e - strength * c, where c has the norm of e if ``norm_matched``.

    Args:
        image_feature: e ``(..., dim)``. A zero row gives v = 0 if ``norm_matched``, else v = -strength * c.
        content: c, of a shape that broadcasts to that of e.
        strength: lambda; 0 returns e.
        norm_matched: subtract strength * (|e| / |c|) * c. A zero row of c subtracts nothing.

    Returns:
        v in the shape and dtype of e, computed in at least float32.
    """
    dtype = torch.promote_types(image_feature.dtype, torch.float32)
    e, c = image_feature.to(dtype), content.to(dtype)
    if norm_matched:
        c = e.norm(dim=-1, keepdim=True) * functional.normalize(c, dim=-1)
    return (e - strength * c).to(image_feature.dtype)
