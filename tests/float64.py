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
COSINE = 16 * ONCE_ROUNDED
"""Bound for cosines, and means of cosines, of the same features in float32: a few roundings of unit vectors."""


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
    for pair in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        ours, theirs = (torch.as_tensor(each).detach().double() for each in pair)
        largest = float(theirs.abs().max()) if theirs.numel() else 1.0
        assert largest > 0, "nothing to compare"
        torch.testing.assert_close(ours, theirs, rtol=0, atol=relative * largest)
