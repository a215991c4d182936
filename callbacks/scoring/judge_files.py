"""Where the files of a judge are: in a folder, or in a repository of the Hugging Face hub by way of its cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

from callbacks.files import digest

_SETTINGS = ("config.json", "preprocessor_config.json")
_VOCABULARY = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d{5}-of-(?P<shards>\d{5}))?\.(?P<format>safetensors|bin)")
# One request, which is not repeated: without a network this fails at once instead of after minutes.
_PATIENCE = 10.0  # seconds


def find_folder(model: str, revision: str | None, with_texts: bool = True) -> Path:
    """The folder of a judge: `model` itself, or the hub's cache, where what it lacks is fetched to first.

    The network is not touched where the cache has all files; a branch then stays at the commit that it had.

    Args:
        model: a folder or a hub name "owner/name".
        revision: branch, tag or commit of a hub name.
        with_texts: whether a tokenizer is among the files.

    Raises:
        FileNotFoundError: `model` is neither, or the repository is not to be seen.
        ConnectionError: files are not in the cache, and the hub cannot be reached.
    """
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise FileNotFoundError(
            f"`model`: there is no folder `{model}`, and it is no hub name `owner/name`. Give a folder or a hub "
            "name of a CLIP, such as 'openai/clip-vit-base-patch32', or 'miniature'."
        )
    cached = _cached(model, revision)
    if cached is not None and _is_complete({path.name for path in cached.iterdir()}, with_texts):
        return cached
    return _fetch(model, revision)


def identity(model: str, folder: Path) -> str:
    """Names a judge by its weights: a hub's by their commit, a folder's by the content of its files."""
    if folder.parent.name == "snapshots":  # the layout of the hub's cache
        return f"{model}@{folder.name}"
    files = sorted(path for path in folder.iterdir() if path.name in _SETTINGS + _VOCABULARY or _is_weight(path.name))
    contents = [f"{path.name} {_content_digest(path)}" for path in files]
    return f"{Path(model).name} {digest(repr(contents).encode())}"


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit, which never moves."""
    return re.fullmatch("[0-9a-f]{40}", revision or "") is not None


def _content_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _is_weight(name: str) -> bool:
    return _WEIGHTS.fullmatch(name) is not None


def _cached(repository: str, revision: str | None) -> Path | None:
    """The snapshot of a repository in the hub's cache, complete or not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:  # with a pattern that no file has, so that none is missed
        return Path(snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=["/"]))
    except LocalEntryNotFoundError:
        return None


def _is_complete(names: Collection[str], with_texts: bool) -> bool:
    """Whether a folder holds all that a judge reads, of its weights every shard."""
    has_texts = "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= set(names)
    weights = _weights_among(names)
    matches = [match for name in weights if (match := _WEIGHTS.fullmatch(name))]
    is_whole = bool(matches) and len(matches) == int(matches[0]["shards"] or 1)
    return is_whole and set(_SETTINGS) <= set(names) and (has_texts or not with_texts)


def _weights_among(names: Collection[str]) -> list[str]:
    """One set of weights: safetensors where there are any, and one file before shards with their index."""
    matches = [match for name in sorted(names) if (match := _WEIGHTS.fullmatch(name))]
    for kind in ("safetensors", "bin"):
        whole = [match.string for match in matches if match["format"] == kind and not match["shards"]]
        shards = [match.string for match in matches if match["format"] == kind and match["shards"]]
        if whole or shards:
            return whole or [*shards, *(name for name in names if name.endswith(f".{kind}.index.json"))]
    return []


def _fetch(repository: str, revision: str | None) -> Path:
    """The snapshot of a repository, after the files of a judge came into the hub's cache."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=False, timeout=_PATIENCE)
        names = {file.rfilename for file in info.siblings or ()}
        wanted = [*(name for name in _SETTINGS + _VOCABULARY if name in names), *_weights_among(names)]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except _hub_errors() as error:
        raise _explained(error, repository, revision) from error


def _hub_errors() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The base of the errors of its network library, whose name depends on its version.
    network = next(kind for kind in HfHubHTTPError.__mro__ if kind.__module__.split(".")[0] != "huggingface_hub")
    return (OSError, network, HFValidationError)


def _explained(error: Exception, repository: str, revision: str | None) -> OSError:
    """The error in a line that says whether the hub refused, the disk did, or nobody answered."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    at = f"`model`: the judge `{repository}`" + (f" at revision `{revision}`" if revision else "")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 500
    if status < 500 or isinstance(error, HFValidationError):
        return FileNotFoundError(
            f"{at} is neither a folder nor on the hub for you to see ({reason}). Check the name and the "
            "revision, log in by `hf auth login` where it is private or gated, or give a folder."
        )
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        return OSError(error.errno, f"{at} cannot be kept in the hub's cache ({reason}). Set HF_HOME to another folder")
    return ConnectionError(
        f"{at} is no folder and not whole in the hub's cache, and the hub cannot be reached ({reason}). Try "
        "again with a connection, copy the cache from where there was one, or give a folder."
    )
