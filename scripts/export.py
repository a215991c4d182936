"""`maskst export`: what was trained as `.safetensors`, without the optimizer and the rest of a checkpoint."""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console
from safetensors.torch import save

# Imported for what it registers: checkpoints hold its settings, which are read as tensors and plain values alone.
import lightning_modules.adapter_training  # noqa: F401
from datamodules.files import replacing, write_atomically
from datamodules.reading import reading
from lightning_modules.conditions.trained import EXPECTED, adapter_bytes, read_adapter
from lightning_modules.diffusion.config import ContentLines
from lightning_modules.styleshot.weights import ip_tensors
from lightning_modules.styleshot_reconstruction import CHECKPOINT_RECORD
from lightning_modules.tensor_files import check_tensors, part_of, read_tensors

ENCODER, IP = "style_aware_encoder.safetensors", "ip.safetensors"
_FROM_HYPER_PARAMETERS = ("strength", "rescale", "backbone")
_CONVERGED = "Expected a checkpoint of a training that did not diverge."


def export(checkpoint: str, out: str, overwrite: bool = False) -> Path:
    """Write the adapter in a file to `out`, and as metadata how it was trained.

    The file is a Lightning checkpoint (.ckpt) of `maskst fit`, or has the adapter's tensors alone (.safetensors, .bin,
    .pt, .pth); `TrainedAdapter` reads what is written. Raises FileNotFoundError where there is no such `checkpoint`,
    FileExistsError where `out` is there and `overwrite` was not given, and ValueError where `out` is no `.safetensors`
    file or `checkpoint` holds no adapter.
    """
    target = Path(out)
    if target.suffix != ".safetensors":
        raise ValueError(f"`out` must end in .safetensors, the one format that is written; got {out!r}.")
    if target.exists() and not overwrite:
        raise FileExistsError(f"`out`: {out!r} is there already. Give another name, or `--overwrite` to replace it.")
    adapter = read_adapter(checkpoint)
    read = read_tensors(Path(checkpoint), "checkpoint", EXPECTED)
    with reading(Path(checkpoint), "checkpoint", EXPECTED):
        told = provenance(read.content) if "state_dict" in read.content else read.metadata
    content = adapter_bytes(adapter, {**told, "maskst_version": project_version()})
    write_atomically(target, lambda file: file.write(content), durable=True)
    return target


def export_styleshot(
    content: Mapping[str, Any], out: Path, overwrite: bool = False, half: bool = False
) -> dict[str, str]:
    """Write the trained parts of StyleShot into the folder `out`; the arguments of `Backbone` that load them.

    `content`, of `read_styleshot`, has of the first stage the style encoder (`style_aware_encoder.safetensors`) and the
    projection with the image attention (`ip.safetensors`), and of the second the latter two with the ControlNet.
    `half` stores float16. Raises FileExistsError where a file is there and `overwrite` was not given, and ValueError
    where `out` is the name of a file.
    """
    if out.suffix == ".safetensors":
        raise ValueError(f"`out` must be a folder, for a StyleShot has files of fixed names; got {str(out)!r}.")
    state, record = content["state_dict"], content[CHECKPOINT_RECORD]
    encoder = part_of(state, "diffusion.image_encoder.")
    files = {ENCODER: encoder} if encoder else {}
    files[IP] = ip_tensors(state, "diffusion.", record["layers"])
    there = [name for name in files if (out / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"`out`: {' and '.join(there)} of {str(out)!r} are there already. Give another folder, or `--overwrite` to "
            "replace them."
        )
    told = {**provenance(content), "maskst_version": project_version(), "style_heads": json.dumps(record["heads"])}
    dtype = torch.float16 if half else torch.float32
    with ExitStack() as stack:  # all are written before one is replaced
        for name, tensors in files.items():
            data = save({key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}, told)
            file = stack.enter_context(replacing(out / name, durable=True))
            file.write(data)
            file.flush()
    if encoder:
        # Its weights do not tell the heads, and another number that divides the width would load without a word.
        return {"style_encoder": str(out / ENCODER), "ip_adapter": str(out / IP), "style_heads": str(record["heads"])}
    lines = record.get("content_lines")
    known = {"content_lines": lines} if lines in get_args(ContentLines) else {}
    return {"ip_adapter": str(out / IP), "content_fusion": "true", **known}


def read_styleshot(checkpoint: Path) -> dict[str, Any] | None:
    """The content of a checkpoint that trained a StyleShot, refused if it diverged; None of any other file."""
    if checkpoint.suffix != ".ckpt" or not checkpoint.is_file():
        return None
    try:
        content = read_tensors(checkpoint, "checkpoint", _CONVERGED, mapped=True).content
    except ValueError:
        return None  # whoever takes it for an adapter says what is wrong with it
    if CHECKPOINT_RECORD not in content:
        return None
    check_tensors(content, checkpoint, "checkpoint", _CONVERGED)
    return content


def provenance(content: Mapping[str, Any]) -> dict[str, str]:
    """What the content of a Lightning checkpoint says of its training, as JSON by name."""
    settings: dict[str, Any] = content.get("hyper_parameters", {})
    known = {name: settings[name] for name in _FROM_HYPER_PARAMETERS if name in settings}
    known |= {"global_step": content["global_step"]} if "global_step" in content else {}
    return {name: json.dumps(value, default=_plain) for name, value in known.items()}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def project_version() -> str:
    """The version that is installed, or of the checkout that this file is in."""
    try:
        return version("maskst")
    except PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("maskst export", description=__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint of `maskst fit`, or an adapter's tensors")
    parser.add_argument("out", metavar="OUT", help="file to write, OUT.safetensors; of StyleShot, a folder")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there already")
    parser.add_argument("--half", action="store_true", help="store StyleShot in float16")
    arguments = parser.parse_args(args)
    styleshot = read_styleshot(Path(arguments.checkpoint))
    if styleshot is None:
        if arguments.half:
            raise ValueError("`--half` is for a StyleShot; an adapter is stored as it was trained. Leave it out.")
        written = [str(export(arguments.checkpoint, arguments.out, arguments.overwrite))]
        used = [f"--model.condition.checkpoint {written[0]}"]
    else:
        with reading(Path(arguments.checkpoint), "checkpoint", EXPECTED, passing=(ValueError, OSError)):
            loading = export_styleshot(styleshot, Path(arguments.out), arguments.overwrite, arguments.half)
        written = [loading[name] for name in ("style_encoder", "ip_adapter") if name in loading]
        used = [f"--model.backbone.{name} {value}" for name, value in loading.items()]
    text = f"Wrote {' and '.join(written)}; used by {' '.join(used)}"
    Console().print(text, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    main()
