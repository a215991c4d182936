"""Comparisons that hold on every machine.

Sums in float32 differ by processor, number of threads and library, and what a network makes of the difference is no
constant. In float64 the same algorithm agrees to 1e-9 everywhere, and another one does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lightning_modules.diffusion import sampling

ONCE_ROUNDED = torch.finfo(torch.float32).eps
"""Bound for results of the same algorithm in float64 that were rounded to float32 at last."""
FEW_ROUNDINGS = 16 * ONCE_ROUNDED
"""Bound for numbers of at most 1, such as cosines, that one computation in float32 gives in two places."""


@contextmanager
def float64() -> Iterator[None]:
    """What is otherwise rounded to float32 on its way stays in float64: features, noise, latents, losses, pictures."""
    draw = sampling.initial_noise
    with (
        patch.object(Tensor, "float", Tensor.double),
        patch.object(sampling, "initial_noise", lambda *given: draw(*given).double()),
    ):
        yield


def assert_same(actual: Any, expected: Any, relative: float = 1e-9) -> None:
    """Each tensor (or number) differs from the expected one by at most `relative` of the largest expected value."""
    ours, theirs = (
        [torch.as_tensor(leaf).detach().double() for leaf in tree_leaves(each)] for each in (actual, expected)
    )
    assert any(leaf.any() for leaf in theirs), "nothing to compare"
    for one, other in zip(ours, theirs, strict=True):
        largest = float(other.abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(one, other, rtol=0, atol=relative * largest)
