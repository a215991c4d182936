"""A memory of what was encoded in a run."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class EncodedOnce:
    """Encodes each item once and keeps the results.

    Args:
        apart: encode each by itself, not all new ones of a call together: beside others the last bits of an encoding
            differ, and training that was interrupted meets others.
    """

    def __init__(self, apart: bool = False) -> None:
        self.apart = apart
        self._kept: dict[tuple[str, str], tuple[Tensor, ...]] = {}

    def __call__(
        self, kind: str, keys: Sequence[str], items: Sequence[T], encode: Callable[[list[T]], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Encodings of `items`, which `keys` name within `kind`: tensors of `len(keys)` rows."""
        new = {key: item for key, item in zip(keys, items, strict=True) if (kind, key) not in self._kept}
        names = list(new)
        for some in [[name] for name in names] if self.apart else [names] if names else []:
            encoded = encode([new[name] for name in some])
            self._kept.update(((kind, key), rows) for key, rows in zip(some, zip(*encoded, strict=True), strict=True))
        kept = [self._kept[kind, key] for key in keys]
        return tuple(map(torch.stack, zip(*kept, strict=True)))
