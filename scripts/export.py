"""`maskst export`: what was trained as `.safetensors`, without the optimizer and the rest of a checkpoint."""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

# Imported for what it registers: checkpoints hold its settings, which are read as tensors and plain values alone.
import lightning_modules.adapter_training  # noqa: F401
from callbacks.files import write_atomically
from datamodules.reading import reading
from lightning_modules.conditions.trained import EXPECTED, adapter_bytes, read_adapter
from lightning_modules.tensor_files import read_tensors
from scripts.export_styleshot import backbone_arguments, export_styleshot, read_styleshot

_FROM_HYPER_PARAMETERS = ("strength", "rescale", "backbone")


def export(checkpoint: str, out: str, overwrite: bool = False) -> Path:
    """Write the adapter in a file to another file, and as metadata how it was trained.

    Args:
        checkpoint: Lightning checkpoint (.ckpt) of `maskst fit`, or a file with the adapter's tensors (.safetensors,
            .bin, .pt, .pth).
        out: file to write, which `TrainedAdapter` reads: --model.condition.checkpoint OUT.
        overwrite: replace OUT if it is there already.

    Returns:
        The file.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        FileExistsError: `out` is there, and `overwrite` was not given.
        ValueError: `out` is no `.safetensors` file, or `checkpoint` holds no adapter.
    """
    target = Path(out)
    if target.suffix != ".safetensors":
        raise ValueError(f"`out` must end in .safetensors, the one format that is written; got {out!r}.")
    if target.exists() and not overwrite:
        raise FileExistsError(f"`out`: {out!r} is there already. Give another name, or `--overwrite` to replace it.")
    adapter = read_adapter(checkpoint)
    written = adapter_bytes(adapter, {**provenance(Path(checkpoint)), "maskst_version": project_version()})
    write_atomically(target, lambda file: file.write(written), durable=True)
    return target


def provenance(checkpoint: Path) -> dict[str, str]:
    """What a file says of its adapter's training, as JSON by name: of a Lightning checkpoint the step and settings."""
    read = read_tensors(checkpoint, "checkpoint", EXPECTED)
    with reading(checkpoint, "checkpoint", EXPECTED):
        return settings_of(read.content) if "state_dict" in read.content else read.metadata


def settings_of(content: Mapping[str, Any]) -> dict[str, str]:
    """What the content of a Lightning checkpoint says of its training, as JSON by name."""
    settings: dict[str, Any] = content.get("hyper_parameters", {})
    known: dict[str, Any] = {name: settings[name] for name in _FROM_HYPER_PARAMETERS if name in settings}
    if "global_step" in content:
        known["global_step"] = content["global_step"]
    return {name: json.dumps(value, default=_plain) for name, value in known.items()}


def project_version() -> str:
    """The version that is installed, or of the checkout that this file is in."""
    try:
        return version("maskst")
    except PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


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
        written = export(arguments.checkpoint, arguments.out, arguments.overwrite)
        said = f"Wrote {written}; used by --model.condition.checkpoint {written}"
    else:
        with reading(Path(arguments.checkpoint), "checkpoint", EXPECTED, passing=(ValueError, OSError)):
            told = {**settings_of(styleshot), "maskst_version": project_version()}
            files = export_styleshot(styleshot, Path(arguments.out), told, arguments.overwrite, arguments.half)
            used = [f"--model.backbone.{name} {value}" for name, value in backbone_arguments(styleshot, files).items()]
        said = f"Wrote {' and '.join(map(str, files))}; used by {' '.join(used)}"
    Console().print(said, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    main()
