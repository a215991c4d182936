"""Checkpoints that are whole under their name, and which of them a run goes on from."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from datamodules.files import write_atomically
from datamodules.reading import reading
from lightning_modules.tensor_files import check_sums, check_tensors

_WAY_OUT = "Give another checkpoint of its folder, or `last` for the newest that can be read."


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, on the disk, before the one before it goes; tells a damaged one."""

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save to a file, or WriteError, which names it and the way out; elsewhere (`s3://`) as Lightning does."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        data = io.BytesIO()  # torch says less about a full disk than the file itself
        torch.save(checkpoint, data)
        write_atomically(Path(path), lambda file: file.write(data.getbuffer()), durable=True)

    @override
    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load from a file; OSError or ValueError where it cannot be read, is damaged, or holds weights not finite."""
        if "://" in str(path) or not Path(path).is_file():
            return super().load_checkpoint(path, *args, **kwargs)
        with reading(Path(path), "ckpt_path", _WAY_OUT):
            check_sums(Path(path))
            checkpoint = super().load_checkpoint(path, *args, **kwargs)
            if not isinstance(checkpoint, dict):
                raise TypeError(f"it holds a {type(checkpoint).__name__}")
        check_tensors(checkpoint, Path(path), "ckpt_path", _WAY_OUT)
        return checkpoint


def newest_readable(folder: Path) -> Path | None:
    """The checkpoint of a run's folder `checkpoints` to go on from: `last.ckpt`, or if damaged the one before.

    Raises ValueError where there are checkpoints, and none can be read.
    """
    found = sorted(folder.glob("*.ckpt"), key=lambda path: (path.name.startswith("last"), path.stat().st_mtime_ns))
    damaged: list[str] = []
    for path in reversed(found):
        try:
            WholeCheckpoints().load_checkpoint(path)
        except (OSError, ValueError):
            damaged.append(path.name)
            continue
        if damaged:
            rank_zero_warn(f"{', '.join(damaged)} in `{folder}` cannot be read: the run goes on from {path.name}.")
        return path
    if damaged:
        raise ValueError(
            f"`ckpt_path`: none of the checkpoints in `{folder}` can be read ({', '.join(damaged)}). Bring one back, "
            "or remove the folder to begin anew."
        )
    return None
