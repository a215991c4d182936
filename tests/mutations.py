"""Damages files as bad days and hostile hands do, by a seed, and tells whether a reader took it well."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from scripts.cli import raised_here

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 44642768\n"
STRANGE: tuple[Any, ...] = (None, True, -1, 10**30, 1.5, math.nan, math.inf, "", "x", "../../etc/passwd", [], {}, [[1]])


def mutate(path: Path, seed: int) -> None:
    """Damages a file in place."""
    chance, data = Random(seed), path.read_bytes()
    damages: list[Callable[[Random, bytes], bytes]] = [_cut, _flipped, _zeroed, _replaced]
    if path.suffix == ".safetensors":
        damages += [lambda chance, data: _not_finite(chance, path)] * 2
    if path.suffix in (".json", ".jsonl"):
        damages += [_swapped] * 4
    path.write_bytes(chance.choice(damages)(chance, data))


def outcome(read: Callable[[], Any], file: Path) -> str:
    """What came of reading a damaged file: "read" or "refused"; AssertionError where it is neither as it should be."""
    try:
        values = read()
    except Exception as error:
        _check_refusal(error, file)
        return "refused"
    assert all(bool(torch.as_tensor(value).isfinite().all()) for value in values), f"{file}: read with NaN inside"
    return "read"


def _check_refusal(error: Exception, file: Path) -> None:
    ours = raised_here(error)
    assert isinstance(ours, ValueError | OSError), f"{file}: {error!r}"
    text = str(ours)
    assert file.name in text or str(file.parent) in text, f"{file}: not named in {text}"
    assert "\n" not in text and "`" in text, text


def _cut(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _flipped(chance: Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    for _ in range(chance.choice((1, 4, 32))):
        # Headers are at the beginning or at the end, and decide most.
        place = chance.choice((chance.randrange(len(data)), chance.randrange(min(400, len(data)))))
        flipped[chance.choice((place, len(data) - 1 - place))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _zeroed(chance: Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((8, 512, len(data))))
    return data[:start] + bytes(end - start) + data[end:]


def _replaced(chance: Random, data: bytes) -> bytes:
    return chance.choice(
        (b"", POINTER, b"<html>404</html>", chance.randbytes(64), b"[" * 100_000, b"PK\x03\x04" + data[:99])
    )


def _not_finite(chance: Random, path: Path) -> bytes:
    tensors = load_file(path)
    name = chance.choice(sorted(key for key, tensor in tensors.items() if tensor.is_floating_point()))
    tensors[name].view(-1)[chance.randrange(tensors[name].numel())] = chance.choice((math.nan, math.inf, -math.inf))
    with safe_open(path, framework="pt") as file:
        return save(tensors, file.metadata())


def _swapped(chance: Random, data: bytes) -> bytes:
    """One value of a JSON text, at any depth, is another or gone."""
    lines = data.split(b"\n") if data.count(b"\n{") or data.startswith(b'{"file"') else [data]
    place = chance.randrange(len(lines))
    content = json.loads(lines[place] or b"{}")
    holder: Any = content
    while isinstance(holder, dict | list) and holder:
        key = chance.choice(sorted(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
        if not isinstance(holder[key], dict | list) or not holder[key] or chance.random() < 0.3:
            if chance.random() < 0.2:
                del holder[key]
            else:
                holder[key] = chance.choice(STRANGE)
            break
        holder = holder[key]
    lines[place] = json.dumps(content).encode()
    return b"\n".join(lines)
