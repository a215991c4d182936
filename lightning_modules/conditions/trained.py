"""Trained adapters on disk: Lightning checkpoints, `.safetensors` and PyTorch files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from datamodules.reading import reading
from lightning_modules.adapters import Adapter, ImageAdapter, TextAdapter, load_adapter_weights
from lightning_modules.conditions.subtraction import Adapted
from lightning_modules.tensor_files import part_of, read_tensors

CHECKPOINT_RECORD = "adapter"
"""Key of a Lightning checkpoint under which `{"kind": class name, ...}` is kept."""
EXPECTED = (
    "Expected a checkpoint of AdapterReconstruction (`.ckpt`), `.safetensors`, or a dictionary of tensors written by "
    "`torch.save`, without other Python objects."
)
_PREFIX = "condition.adapter."  # of the adapter's keys in a Lightning checkpoint
_PROJ_WEIGHT = "proj.weight"


class TrainedAdapter(Adapted):
    """v = e - strength * (|e| / |f|) * f with the content feature f of an adapter that was trained before.

    Args:
        checkpoint: Lightning checkpoint (`.ckpt`) of `AdapterReconstruction`, or a file with nothing but the adapter's
            tensors (`.safetensors`, or `.bin`, `.pt` and `.pth` by `torch.save`).
        strength: lambda; 0 is IP-Adapter.
        rescale: rescale f to the norm of e.
    """

    def __init__(self, checkpoint: str, strength: float = 1.0, rescale: bool = True) -> None:
        super().__init__(read_adapter(checkpoint), strength, rescale)
        self.requires_grad_(False)


Weights = tuple[dict[str, Tensor], str | None]
"""The tensors of an adapter without prefix, and the name of its class where the file tells it."""


def read_adapter(path: str | Path) -> Adapter:
    """The adapter in a file of any of the formats, on the CPU, in float32.

    Where the file does not name the adapter's class, a square `proj.weight` means an ImageAdapter. Raises
    FileNotFoundError where there is no such file, ValueError where it is not readable, or holds no adapter or several.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`checkpoint` names no file: {str(path)!r}. Expected a checkpoint that `fit` of AdapterReconstruction "
            "wrote (`.ckpt`), or the tensors of an adapter (`.safetensors`, `.bin`)."
        )
    content, metadata = read_tensors(path, "checkpoint", EXPECTED)
    with reading(path, "checkpoint", EXPECTED, passing=ValueError):
        is_lightning = "state_dict" in content
        weights = checkpoint_weights(content) if is_lightning else _bare_weights(content, metadata.get("kind"))
        adapter = _empty_adapter(*weights, path)
    with reading(path, "checkpoint", EXPECTED):
        load_adapter_weights(adapter, *weights)
    return adapter


def adapter_bytes(adapter: Adapter, metadata: Mapping[str, str] | None = None) -> bytes:
    """A `.safetensors` file of an adapter: its tensors, and as metadata its class, its sizes and what is given."""
    from safetensors.torch import save

    state = {key: tensor.detach().cpu().contiguous() for key, tensor in adapter.state_dict().items()}
    own = {"kind": adapter.kind, **{name: str(size) for name, size in adapter.settings.items()}}
    return save(state, metadata={**(metadata or {}), **own})


def checkpoint_weights(checkpoint: Mapping[str, Any]) -> Weights:
    """The adapter's part of a Lightning checkpoint that is already in memory; no keys where it has none."""
    return part_of(checkpoint["state_dict"], _PREFIX), checkpoint.get(CHECKPOINT_RECORD, {}).get("kind")


def _bare_weights(state: Mapping[str, Tensor], kind: str | None) -> Weights:
    """Without what stands before `proj.weight`, where every key has it; otherwise the keys as they are."""
    prefix = next((key.removesuffix(_PROJ_WEIGHT) for key in state if key.endswith(_PROJ_WEIGHT)), "")
    if not all(key.startswith(prefix) for key in state):
        prefix = ""
    return {key.removeprefix(prefix): tensor for key, tensor in state.items()}, kind


def _empty_adapter(state: Mapping[str, Tensor], kind: str | None, path: Path) -> Adapter:
    """An adapter of the stored class and sizes."""
    weight = state.get(_PROJ_WEIGHT)
    if weight is None or weight.ndim != 2 or kind not in (None, "ImageAdapter", "TextAdapter"):
        raise ValueError(
            f"`checkpoint` holds no adapter: {str(path)!r} has {sorted(state)[:4]} and names the class "
            f"{kind}. Expected proj.weight, proj.bias, norm.weight and norm.bias of one ImageAdapter or "
            "TextAdapter, in a checkpoint of AdapterReconstruction or a file of their own."
        )
    dim, in_dim = weight.shape
    is_image = kind == "ImageAdapter" if kind else dim == in_dim
    return ImageAdapter(dim) if is_image else TextAdapter(dim, in_dim)
