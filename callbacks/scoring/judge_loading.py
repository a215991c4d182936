"""A judge's files, in a folder or from the Hugging Face hub, and its parts in the hub's formats, checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from callbacks.files import digest
from lightning_modules.hub import Source, fetch_folder
from lightning_modules.hub_cache import has_weights
from lightning_modules.tensor_files import READ, check_processor, check_tokenizer, pretrained

if TYPE_CHECKING:
    from transformers import CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

M = TypeVar("M", bound=torch.nn.Module)
EXPECTED = (
    "Expected 'miniature', a folder or a hub name with config, weights, tokenizer and preprocessor_config.json of "
    "a CLIP."
)
_SETTINGS = ("config.json", "preprocessor_config.json")
_VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt")


def find_folder(model: str, revision: str | None, with_texts: bool = True) -> Path:
    """The folder of a judge: `model` itself, or the hub's cache, where what it lacks is fetched to first.

    The network is not touched where the cache has all files; a branch then stays at the commit that it had.

    Args:
        model: a folder or a hub name "owner/name".
        revision: branch, tag or commit of a hub name.
        with_texts: whether a tokenizer is among the files.

    Raises:
        FileNotFoundError: `model` is neither, or the repository is not to be seen or has no weights.
        ConnectionError: files are not in the cache, and the hub cannot be reached.
        OSError: the cache cannot be written.
    """
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise FileNotFoundError(
            f"`model`: there is no folder `{model}`, and it is no hub name `owner/name`. Give a folder or a hub "
            "name of a CLIP, such as 'openai/clip-vit-base-patch32', or 'miniature'."
        )
    required = _SETTINGS + _VOCABULARY if with_texts else _SETTINGS
    try:
        return fetch_folder(Source(False, model, revision), "scores.judge.model", weights=True, required=required, stays=True)
    except OSError as error:
        raise _explained(error, model, revision) from error


def _explained(error: OSError, repository: str, revision: str | None) -> OSError:
    """The door's error with the ways out that a judge has."""
    if error.__cause__ is None:  # the hub answered, and the repository has not what a judge needs
        return error
    at = f"`model`: the judge `{repository}`" + (f" at revision `{revision}`" if revision else "")
    reason = (str(error.__cause__).strip() or type(error.__cause__).__name__).splitlines()[0]
    if isinstance(error, ConnectionError):
        return ConnectionError(
            f"{at} is no folder and not whole in the hub's cache, and the hub cannot be reached ({reason}). Try "
            "again with a connection, copy the cache from where there was one, or give a folder."
        )
    if isinstance(error, FileNotFoundError | PermissionError):
        return FileNotFoundError(
            f"{at} is neither a folder nor on the hub for you to see ({reason}). Check the name and the "
            "revision, log in by `hf auth login` where it is private or gated, or give a folder."
        )
    return OSError(f"{at} cannot be kept in the hub's cache ({reason}). Set HF_HOME to another folder")


def identity(model: str, folder: Path) -> str:
    """Names a judge by its weights: a hub's by their commit, a folder's by the content of its files."""
    if folder.parent.name == "snapshots":  # the layout of the hub's cache
        return f"{model}@{folder.name}"
    files = sorted(path for path in folder.iterdir() if path.name in READ or has_weights([path.name]))
    contents = [f"{path.name} {_content_digest(path)}" for path in files]
    return f"{Path(model).name} {digest(repr(contents).encode())}"


def _content_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def argument_of(name: str) -> str:
    """How errors call what names the files of a judge."""
    return f"model` of the judge `{name}"


def load_frozen(kind: type[M], folder: Path, name: str, expected: str) -> M:
    """A `kind` from a folder, in float32 and eval mode, without gradients; refuses weights that lack any of it."""
    from transformers.utils import logging as told

    level = told.get_verbosity()
    told.set_verbosity_error()  # it would list the tower that is not asked for; what lacks is refused below
    try:
        load = kind.from_pretrained  # type: ignore[attr-defined]
        model, report = _load(load, folder, name, dtype=torch.float32, output_loading_info=True)
    finally:
        told.set_verbosity(level)
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(report["missing_keys"])[:3] + sorted(str(key) for key in report["mismatched_keys"])[:3]
        raise ValueError(
            f"`model`: the weights of the judge `{name}` do not fit CLIP; missing or of another shape: "
            f"{', '.join(lacking)}. Give a complete {expected} in transformers' format."
        )
    frozen: M = model.requires_grad_(False).eval()
    return frozen


def load_processor(folder: Path, name: str, network: torch.nn.Module) -> CLIPImageProcessorPil:
    """What turns pictures into the pixels that the judge `name`, whose network it is, sees."""
    # Named directly: the automatic choice resizes by another back end where torchvision is installed.
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor: CLIPImageProcessorPil = _load(CLIPImageProcessorPil.from_pretrained, folder, name)
    check_processor(processor, network, folder, argument_of(name), EXPECTED)
    return processor


def load_tokenizer(folder: Path, name: str, network: torch.nn.Module) -> CLIPTokenizer:
    """The tokenizer of the judge `name`, whose network it is; refuses an empty one."""
    from transformers import CLIPTokenizer

    tokenizer: CLIPTokenizer = _load(CLIPTokenizer.from_pretrained, folder, name)
    if len(tokenizer) <= 3:  # what transformers 5 makes of a folder without tokenizer files
        raise ValueError(
            f"`model`: the judge `{name}` has a tokenizer of {len(tokenizer)} tokens: expected the files "
            "of CLIP's tokenizer (`tokenizer.json`, or `vocab.json` and `merges.txt`) beside its weights."
        )
    check_tokenizer(tokenizer, network, folder, argument_of(name), EXPECTED)
    return tokenizer


def _load(load: Callable[..., Any], folder: Path, name: str, **options: Any) -> Any:
    try:
        return pretrained(load, folder, argument_of(name), EXPECTED, **options)
    except OSError as error:
        text = f"`model`: the judge `{name}` cannot be loaded as CLIP ({str(error).splitlines()[0]}). {EXPECTED}"
        raise FileNotFoundError(text) from error
