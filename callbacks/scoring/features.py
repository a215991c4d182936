"""Unit features kept by the content of what they describe, so that scoring again encodes nothing."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from datamodules.files import write_atomically
from datamodules.names import digest, slug
from datamodules.reading import reading
from lightning_modules.tensor_files import read_tensors

T = TypeVar("T")
_ROWS = 128  # of a shard; the newest is written again as it grows, so this bounds both its bytes and the shards
_log = logging.getLogger(__name__)


def image_key(image: Image.Image) -> str:
    """Names a picture by its pixels: mode, size, bytes and palette; not by its file."""
    described = repr(("image", image.mode, image.size, image.getpalette()))
    return digest(described.encode() + image.tobytes(), size=16)


def text_key(text: str) -> str:
    """Names a text by its letters, apart from every picture."""
    return digest(repr(("text", text)).encode(), size=16)


class FeatureStore:
    """Unit features (dim,) float32 of one judge under keys, in memory and, given a folder, on disk too.

    A shard `folder/<judge>/<name>.safetensors` holds `features` (n, dim) and in its metadata their `keys`. Each
    process writes shards of its own, whole or not at all, so a run may be killed at any moment, and ranks may
    share a folder; what others wrote is read once, at the first call. Everything read stays in memory.

    Args:
        folder: of all judges' features; None keeps them in memory only.
        judge: tells judges apart; other weights need another name.
        dim: the judge's feature size; None takes that of the first features.
    """

    def __init__(self, folder: str | Path | None = None, judge: str = "", dim: int | None = None) -> None:
        self.folder = None if folder is None else Path(folder) / f"{slug(judge)}-{digest(judge.encode())}"
        self.judge, self.dim, self._dim_source = judge, dim, "the argument `dim`"
        self._kept: dict[str, Tensor] = {}
        self._shard: dict[str, Tensor] = {}  # the newest one of this process
        self._shard_name = uuid4().hex
        self._is_read = self.folder is None

    def __call__(
        self, key: Callable[[T], str], items: Sequence[T], encode: Callable[[list[T]], Tensor], batch_size: int = 64
    ) -> Tensor:
        """Features (len(items), dim), on the CPU, of `items` by `key` (`image_key`, `text_key`).

        `encode` gives those (n, dim) of unknown items, at most `batch_size` a call, which a kill can lose.

        Raises:
            ValueError: the judge gives features of another size than those that are kept.
            OSError: the folder cannot be written.
        """
        if not self._is_read:
            self._read()
        keys = [key(item) for item in items]
        unknown = {name: item for name, item in zip(keys, items, strict=True) if name not in self._kept}
        names = list(unknown)
        for start in range(0, len(names), batch_size):
            batch = names[start : start + batch_size]
            self._keep(batch, encode([unknown[key] for key in batch]).detach().cpu().float())
        return torch.stack([self._kept[name] for name in keys])

    def _keep(self, keys: list[str], features: Tensor) -> None:
        self._check_dim(features.shape[1], f"the judge `{self.judge}`")
        if not features.isfinite().all():
            raise ValueError(
                f"`judge`: the features of `{self.judge}` are not finite, so nothing can be compared with them. Its "
                "weights are damaged, or their precision is too low: fetch them again, or name another judge."
            )
        rows = dict(zip(keys, features, strict=True))
        self._kept.update(rows)
        if self.folder is None:
            return
        if len(self._shard) >= _ROWS:
            self._shard, self._shard_name = {}, uuid4().hex
        self._shard.update(rows)
        data = save({"features": torch.stack(list(self._shard.values()))}, {"keys": json.dumps(list(self._shard))})
        # The process number keeps apart what forked from one store.
        path = self.folder / f"{self._shard_name}-{os.getpid()}.safetensors"
        write_atomically(path, lambda file: file.write(data))

    def _read(self) -> None:
        assert self.folder is not None
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                rows = _read_shard(path)
            except (OSError, ValueError) as error:
                _log.warning("%s", error)
                continue
            for features in rows.values():
                self._check_dim(len(features), f"`{path}`")
            self._kept.update(rows)
        self._is_read = True

    def _check_dim(self, dim: int, source: str) -> None:
        if self.dim is None:
            self.dim, self._dim_source = dim, source
        if dim != self.dim:
            raise ValueError(
                f"`cache`: {source} has features of size {dim}, and {self._dim_source} of size {self.dim}: they "
                f"are of two judges. Delete the folder `{self.folder}` to compute them anew, or give another "
                "folder as `cache`."
            )


def _read_shard(path: Path) -> dict[str, Tensor]:
    anew = "These kept features are computed anew. Delete the file to be rid of this message."
    shard = read_tensors(path, "cache", anew)
    with reading(path, "cache", anew):
        keys, features = json.loads(shard.metadata["keys"]), shard.content["features"]
        # The format has no checksum; a crash of the machine typically leaves zeros.
        if features.dim() != 2 or not torch.allclose(features.norm(dim=1), torch.ones(len(features)), atol=1e-3):
            raise ValueError(f"`features` of shape {tuple(features.shape)} are no unit vectors (n, dim)")
        return dict(zip(keys, features, strict=True))
