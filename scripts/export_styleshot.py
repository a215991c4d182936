"""`maskst export` of a trained StyleShot: its files in the published format, as safetensors."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import save

from callbacks.files import replacing
from lightning_modules.diffusion.config import ContentLines
from lightning_modules.styleshot.weights import encoder_tensors, ip_tensors
from lightning_modules.styleshot_reconstruction import CHECKPOINT_RECORD
from lightning_modules.tensor_files import check_tensors, read_tensors

ENCODER, IP = "style_aware_encoder.safetensors", "ip.safetensors"
_EXPECTED = "Expected a checkpoint of a training that did not diverge."
_ARGUMENT_OF_FILE = {ENCODER: "style_encoder", IP: "ip_adapter"}


def read_styleshot(checkpoint: Path) -> dict[str, Any] | None:
    """The content of a checkpoint that trained a StyleShot, refused if it diverged; None of any other file."""
    if checkpoint.suffix != ".ckpt" or not checkpoint.is_file():
        return None
    try:
        content = read_tensors(checkpoint, "checkpoint", _EXPECTED, mapped=True).content
    except ValueError:
        return None  # whoever takes it for an adapter says what is wrong with it
    if CHECKPOINT_RECORD not in content:
        return None
    check_tensors(content, checkpoint, "checkpoint", _EXPECTED)
    return content


def export_styleshot(
    content: Mapping[str, Any], out: Path, metadata: Mapping[str, str], overwrite: bool = False, half: bool = False
) -> list[Path]:
    """Write the trained parts of StyleShot into a folder.

    Args:
        content: what `read_styleshot` returns: of the first stage, the style encoder and the projection with the
            image attention; of the second, the latter two with the ControlNet.
        out: the folder.
        metadata: told in each file.
        overwrite: replace files that are there already.
        half: store float16.

    Returns:
        The files: `style_aware_encoder.safetensors` of the first stage alone, and `ip.safetensors`.

    Raises:
        FileExistsError: a file is there, and `overwrite` was not given.
        ValueError: `out` is the name of a file.
    """
    if out.suffix == ".safetensors":
        raise ValueError(f"`out` must be a folder, for a StyleShot has files of fixed names; got {str(out)!r}.")
    state, record = content["state_dict"], content[CHECKPOINT_RECORD]
    files = {
        ENCODER: encoder_tensors(state, "diffusion.image_encoder."),
        IP: ip_tensors(state, "diffusion.", record["layers"]),
    }
    files = {name: tensors for name, tensors in files.items() if tensors}
    there = [name for name in files if (out / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"`out`: {' and '.join(there)} of {str(out)!r} are there already. Give another folder, or `--overwrite` to "
            "replace them."
        )
    told = {**metadata, "style_heads": json.dumps(record["heads"])}
    dtype = torch.float16 if half else torch.float32
    with ExitStack() as stack:  # both are written before one is replaced
        for name, tensors in files.items():
            file = stack.enter_context(replacing(out / name, durable=True))
            file.write(save({key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}, told))
            file.flush()
    return [out / name for name in files]


def backbone_arguments(content: Mapping[str, Any], files: Sequence[Path]) -> dict[str, str]:
    """Arguments of `Backbone` that load the files which `export_styleshot` wrote of a checkpoint."""
    arguments = {_ARGUMENT_OF_FILE[file.name]: str(file) for file in files}
    if "style_encoder" not in arguments:
        lines = content[CHECKPOINT_RECORD].get("content_lines")
        told = {"content_lines": lines} if lines in get_args(ContentLines) else {}
        return {**arguments, "content_fusion": "true", **told}
    # Its weights do not tell, and another number that divides the width would load without a word.
    return {**arguments, "style_heads": str(content[CHECKPOINT_RECORD]["heads"])}
