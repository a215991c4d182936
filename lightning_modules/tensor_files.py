"""Reads files of tensors, safetensors and those of `torch.save`, and refuses damaged ones by name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile, is_zipfile

import torch
from torch import Tensor

from datamodules.reading import reading

# Names of counters and indices, which are no weights.
_WHOLE = ("num_batches_tracked", "position_ids")


class TensorFile(NamedTuple):
    """What a file holds: tensors by name, also nested or with other plain values; and what is told beside them."""

    content: dict[str, Any]
    metadata: dict[str, str]


def read_tensors(path: Path, argument: str, expected: str, mapped: bool = False) -> TensorFile:
    """Reads a file as tensors and plain values alone; other Python objects are not made.

    Args:
        path: `.safetensors`, or a dictionary written by `torch.save`.
        argument: that named it.
        expected: sentences that say what should be there, and the way out.
        mapped: do not load the tensors of `torch.save` before they are used; `check_tensors` is then the caller's.

    Raises:
        OSError: the operating system does not give the file.
        ValueError: it is damaged, holds something else, or a tensor is not finite.
    """
    with reading(path, argument, expected):
        if not path.is_file():
            raise FileNotFoundError("there is no such file")
        read = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, mapped)
    if not mapped:
        check_tensors(read.content, path, argument, expected)
    return read


def check_tensors(tensors: Mapping[str, Any], path: Path, argument: str, expected: str) -> None:
    """Raises ValueError, naming it, where a tensor holds NaN or infinite values, or whole numbers as weights.

    Of a Lightning checkpoint the weights are looked at: a callback may well remember that the best score was infinite.
    """
    weights = tensors.get("state_dict")
    for name, tensor in _named(weights if isinstance(weights, Mapping) else tensors):
        dtype = str(tensor.dtype).removeprefix("torch.")
        fault = None
        if not tensor.is_floating_point() and name.rpartition(".")[2] not in _WHOLE:
            fault = f"is of the type {dtype}, which weights are not"
        elif not _is_finite(tensor):
            fault = f"holds values that are not finite (NaN or infinite, in {dtype}), which would spoil every picture"
        if fault:
            raise ValueError(f"`{argument}` cannot be read: the tensor {name} in '{path}' {fault}. {expected}")


def check_sums(path: Path) -> None:
    """Raises ValueError where a checksum of a file of `torch.save` is wrong; torch does not look at them."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} in it is wrong")


def _read_safetensors(path: Path) -> TensorFile:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return TensorFile({name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118


def _read_torch(path: Path, mapped: bool) -> TensorFile:
    if not mapped:
        check_sums(path)
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zipfile(path))
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise TypeError(f"it holds a {type(content).__name__}, and no dictionary of tensors")
    return TensorFile(content, {})


def _named(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in values.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{name}.")


def _is_finite(tensor: Tensor) -> bool:
    """By the extremes, which are found in one pass without a copy; NaN is both."""
    if tensor.numel() == 0 or tensor.is_meta or not tensor.is_floating_point():
        return True
    if tensor.element_size() == 1:
        tensor = tensor.float()  # for which torch has no extremes
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(tensor))
