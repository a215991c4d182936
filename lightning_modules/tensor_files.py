"""Reads files of tensors, and networks from folders in Hugging Face's formats; refuses damaged ones by name."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile, is_zipfile

import torch
from PIL import Image
from torch import Tensor, nn

from datamodules.reading import inside, listed, read_json, reading

READ = {"model_index.json", "config.json", "scheduler_config.json", "preprocessor_config.json", "tokenizer.json"}
READ |= {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"}
"""Files of settings and vocabulary that a folder in Hugging Face's formats may have."""
# Names of counters and indices, which are no weights.
_WHOLE = ("num_batches_tracked", "position_ids")
# Pieces of one byte, alone and at the end of a word; every other entry but the special ones is made by one merge.
_BYTES = 2 * 256
_PREPROCESSING = {"size", "image_mean", "image_std"}
_LARGEST_ENLARGEMENT = 8
_ANY_END = 2  # of old configurations, which transformers does not take by its word
_CONFIGS = ("config.json", "scheduler_config.json")
_MOST = {"layers": 1_000, "num_train_timesteps": 100_000}  # more of them would be made without end


class TensorFile(NamedTuple):
    """What a file holds: tensors by name, also nested or with other plain values; and what is told beside them."""

    content: dict[str, Any]
    metadata: dict[str, str]


def read_tensors(path: Path, argument: str, expected: str, mapped: bool = False) -> TensorFile:
    """Reads a file as tensors and plain values alone; other Python objects are not made.

    Args:
        path: `.safetensors`, or a dictionary written by `torch.save`, which `argument` named.
        expected: sentences that say what should be there, and the way out.
        mapped: do not load the tensors of `torch.save` before they are used; `check_tensors` is then the caller's.

    Raises OSError where the operating system does not give the file, and ValueError where it is damaged, holds
    something else, or a tensor is not finite.
    """
    with reading(path, argument, expected):
        if not path.is_file():
            raise FileNotFoundError("there is no such file")
        read = _read(path, mapped)
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
        if not tensor.is_floating_point() and name.rpartition(".")[2] not in _WHOLE:
            fault = f"is of the type {dtype}, which weights are not"
        elif not _is_finite(tensor):
            fault = f"holds values that are not finite (NaN or infinite, in {dtype}), which would spoil every picture"
        else:
            continue
        raise ValueError(f"`{argument}` cannot be read: the tensor {name} in '{path}' {fault}. {expected}")


def key_faults(names: Iterable[str], expected: Iterable[str]) -> str:
    """Which names are missing and which unknown, "" if none."""
    missing, unknown = sorted(set(expected) - set(names)), sorted(set(names) - set(expected))
    told = [listed(names, most=10, between=", ") or "none" for names in (missing, unknown)]
    return "missing keys {}, unknown keys {}".format(*told) if missing or unknown else ""


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those tensors whose names begin with a prefix, by what follows it."""
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def check_sums(path: Path) -> None:
    """Raises ValueError where a checksum of a file of `torch.save` is wrong; torch does not look at them."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} in it is wrong")


def _read(path: Path, mapped: bool) -> TensorFile:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            return TensorFile({name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118
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


def pretrained(load: Callable[..., Any], folder: Path, argument: str, expected: str, **options: Any) -> Any:
    """Calls `load`, a `from_pretrained`, on a folder whose JSON files hold objects, and whose shards lie in it.

    Raises ValueError where a file is damaged or does not fit the others, and the library's OSError for missing ones.
    """
    for file in sorted(folder.glob("*.json")):
        if file.name in READ or ".index." in file.name:
            content = read_json(file, argument, expected)
            with reading(file, argument, expected):
                if file.name in _CONFIGS:
                    _check_counts("", content)
                for shard in {*content.get("weight_map", {}).values()}:
                    inside(folder, shard)
    with reading(folder, argument, expected, passing=OSError):
        loaded = load(str(folder), local_files_only=True, **options)
    network = loaded[0] if isinstance(loaded, tuple) else loaded
    if isinstance(network, nn.Module):
        check_tensors(network.state_dict(), folder, argument, expected)
    return loaded


def _check_counts(name: str, value: Any) -> None:
    """Raises ValueError where a configuration asks for more layers or timesteps than any has."""
    for key, part in value.items() if isinstance(value, dict) else ():
        _check_counts(key, part)
    for part in value if isinstance(value, list) else ():
        _check_counts(name, part)
    if isinstance(value, int | float) and any(key in name and value > most for key, most in _MOST.items()):
        raise ValueError(f"`{name}` is {value}, more than any has")


def check_tokenizer(tokenizer: Any, network: Any, folder: Path, argument: str, expected: str) -> None:
    """Raises ValueError where a CLIP tokenizer has gaps, cannot tokenize, or does not fit its text encoder."""
    with reading(folder, argument, expected):
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        ids = sorted(model["vocab"].values())
        special = sum(entry.startswith("<|") and entry.endswith("|>") for entry in model["vocab"])
        if ids != list(range(len(ids))) or len(model["merges"]) < len(ids) - special - _BYTES:
            raise ValueError(f"of its {len(ids)} entries some are missing, or merges are: {len(model['merges'])}")
        config = getattr(network.config, "text_config", network.config)
        end = config.eos_token_id
        if end != _ANY_END and end not in tokenizer(["a"])["input_ids"][0]:
            raise ValueError(f"no text ends with the token {end}, at which its text encoder takes the feature")
        if len(tokenizer) > config.vocab_size:
            raise ValueError(f"the tokenizer has {len(tokenizer)} entries, its text encoder {config.vocab_size}")
        tokenizer(["a"], padding="max_length", truncation=True, max_length=min(int(tokenizer.model_max_length), 3))


def check_processor(processor: Any, network: Any, folder: Path, argument: str, expected: str) -> None:
    """Raises ValueError where an image processor lacks settings, or gives other pixels than its image encoder reads.

    For what a file does not say, the library takes the settings of another model in silence.
    """
    file = folder / "preprocessor_config.json"
    content = read_json(file, argument, expected)
    with reading(file, argument, expected):
        if missing := sorted(_PREPROCESSING - {name for name, value in content.items() if value is not None}):
            raise ValueError(f"it lacks {', '.join(missing)}")
        side = getattr(network.config, "vision_config", network.config).image_size
        given = [size for size in (processor.size, processor.crop_size) if size is not None]
        lengths = [length for size in given for length in dict(size).values()]
        if any(not 0 < length <= _LARGEST_ENLARGEMENT * side for length in lengths):
            raise ValueError(f"its sizes {lengths} do not fit an image encoder of {side} pixels")
        pixels = processor([Image.new("RGB", (3, 2))], return_tensors="pt")["pixel_values"]
        if pixels.shape != (1, 3, side, side) or not pixels.isfinite().all():
            raise ValueError(f"pixels come as {tuple(pixels.shape)}, or are no numbers; expected {side} x {side}")
