"""What of a module's weights a checkpoint holds: nothing that the backbone brings."""

import hashlib
from typing import Any, Protocol

from torch import nn

from lightning_modules.outputs import JSON

FROZEN = "diffusion."
"""What the names of the frozen networks' tensors begin with."""


class HasFrozen(Protocol):
    """A module that knows which of its tensors come from the backbone."""

    def is_frozen(self, key: str) -> bool:
        """Whether a tensor of this name does."""


def fingerprint(condition: nn.Module) -> dict[str, JSON]:
    """A hash of a trained condition's weights, which decide the picture too."""
    state = condition.state_dict()
    if not state:
        return {}
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.detach().double().cpu().numpy().tobytes())
    return {"weights_sha256": digest.hexdigest()}


def drop_frozen(module: HasFrozen, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    """Frozen weights come from the backbone, never from a checkpoint; nor does torch's record of their modules."""
    for key in [key for key in state if key.startswith(prefix) and module.is_frozen(key.removeprefix(prefix))]:
        del state[key]
    record = getattr(state, "_metadata", {})
    for key in [key for key in record if f"{key}.".startswith(f"{prefix}{FROZEN}")]:
        del record[key]


def forgive_frozen(module: HasFrozen, incompatible: Any) -> None:
    """Only frozen weights may be missing; strict loading stays strict about all others."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if not module.is_frozen(key)]
