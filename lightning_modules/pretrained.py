"""Networks, tokenizers and image processors from folders in Hugging Face's formats, refused where they are damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from datamodules.reading import inside, read_json, reading
from lightning_modules.tensor_files import check_tensors

_READ = {"model_index.json", "config.json", "scheduler_config.json", "preprocessor_config.json", "vocab.json"}
_READ |= {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}
# Pieces of one byte, alone and at the end of a word; every other entry but the special ones is made by one merge.
_BYTES = 2 * 256
_PREPROCESSING = {"size", "image_mean", "image_std"}
_LARGEST_ENLARGEMENT = 8
_ANY_END = 2  # of old configurations, which transformers does not take by its word
_CONFIGS = ("config.json", "scheduler_config.json")
_MOST = {"layers": 1_000, "num_train_timesteps": 100_000}  # more of them would be made without end


def pretrained(load: Callable[..., Any], folder: Path, argument: str, expected: str, **options: Any) -> Any:
    """Calls `load`, a `from_pretrained`, on a folder whose JSON files hold objects, and whose shards lie in it.

    Args:
        load: of a network, tokenizer, processor or configuration.
        folder: what it reads.
        argument: that named the folder.
        expected: sentences that say what should be there, and the way out.
        options: of `load`.

    Raises:
        ValueError: a file is damaged, or does not fit the others.
        OSError: the library's own, where something is missing.
    """
    for file in sorted(folder.glob("*.json")):
        if file.name in _READ or ".index." in file.name:
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
