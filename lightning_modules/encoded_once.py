"""A memory of what was encoded in a run."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class EncodedOnce:
    """Encodes each item once, all new ones of a call together, and keeps the results."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Tensor, ...]] = {}

    def __call__(
        self, kind: str, keys: Sequence[str], items: Sequence[T], encode: Callable[[list[T]], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Encodings of `items`, which `keys` name within `kind`: tensors of `len(keys)` rows."""
        new = {key: item for key, item in zip(keys, items, strict=True) if (kind, key) not in self._kept}
        if new:
            encoded = encode(list(new.values()))
            self._kept.update(((kind, key), rows) for key, rows in zip(new, zip(*encoded, strict=True), strict=True))
        kept = [self._kept[kind, key] for key in keys]
        return tuple(map(torch.stack, zip(*kept, strict=True)))
