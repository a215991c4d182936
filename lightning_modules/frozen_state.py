"""What of a module's weights a checkpoint holds: nothing that the backbone brings."""

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from lightning_modules.outputs import JSON

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion

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
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return {"weights_sha256": digest.hexdigest()}


def loaded_fingerprint(diffusion: "StableDiffusion") -> str:
    """A hash of what was loaded, wherever it lies: settings, and the name, shape and 64 elements of each tensor."""
    networks = [
        {key: value for key, value in network.config.items() if not key.startswith("_")}  # such as where it lay
        for network in (diffusion.unet, diffusion.vae)
    ]
    digest = hashlib.sha256(json.dumps([diffusion.scheduler_config, *networks], sort_keys=True, default=str).encode())
    for key, tensor in diffusion.state_dict().items():
        elements = tensor.detach().reshape(-1)
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
        digest.update(elements[:: max(1, len(elements) // 64)].cpu().double().numpy().tobytes())
    return digest.hexdigest()


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
