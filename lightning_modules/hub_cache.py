"""The Hugging Face hub and its cache: which files a repository has, which are needed, and what went wrong."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning_modules.diffusion.config import Backbone
from lightning_modules.tensor_files import READ

_WEIGHTS = re.compile(
    r"(diffusion_pytorch_model|model|pytorch_model)"
    r"(\.(?P<before>\w+))?(-\d{5}-of-(?P<shards>\d{5}))?(\.(?P<after>\w+))?\.(?P<format>safetensors|bin)"
)
_BACKBONE = {field.name for field in fields(Backbone)}
# One request, which is not repeated: without a network this fails at once instead of after minutes.
_PATIENCE = 10.0  # seconds


@lru_cache
def list_repository(repository: str, revision: str | None) -> tuple[str, dict[str, int | None]]:
    """The commit and the files of a repository, with their bytes where the hub tells them, asked once a process.

    Errors are the library's own, one of `errors()`.
    """
    from huggingface_hub import HfApi

    info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=_PATIENCE)
    return info.sha or "", {file.rfilename: file.size for file in info.siblings or ()}


def cached_file(repository: str, name: str, revision: str | None) -> Path | None:
    """Where a file of a repository lies in the hub's cache, if it does."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, revision=revision)
    return Path(found) if isinstance(found, str) else None


def cached_snapshot(repository: str, revision: str | None) -> Path | None:
    """The folder of a repository in the hub's cache, complete or not, if there is one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    options: Any = {"revision": revision, "local_files_only": True}
    with suppress(LocalEntryNotFoundError, HFValidationError):  # of a pattern that no file has: none is missed
        return Path(snapshot_download(repository, allow_patterns=["/"], **options))
    return None


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit, which never moves."""
    return re.fullmatch("[0-9a-f]{40}", revision or "") is not None


def in_folder(names: Iterable[str], folder: str) -> list[str]:
    """The names of the files directly in `folder` ("" is the top), without it."""
    start = f"{folder}/" if folder else ""
    inside = [name.removeprefix(start) for name in names if name.startswith(start)]
    return [name for name in inside if "/" not in name]


def files_below(folder: Path) -> list[str]:
    """Names of all files in a folder and its subfolders, with forward slashes."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def needed_files(names: Iterable[str], weights: bool = False, variant: str | None = None) -> list[str]:
    """Those of a folder's file names that loading opens: settings, vocabulary and, with `weights`, one set of weights.

    Weights are taken of `variant` alone, as safetensors where they exist, and in one file before shards.
    """
    names = sorted(names)
    chosen = [name for name in names if name in READ]
    matches = [match for match in map(_WEIGHTS.fullmatch, names) if match]
    of_variant = [match for match in matches if (match["before"] or match["after"]) == variant]
    for kind in ("safetensors", "bin") if weights else ():
        of_kind = [match for match in of_variant if match["format"] == kind]
        if whole := [match.string for match in of_kind if not match["shards"]]:
            return [*chosen, whole[0]]
        if of_kind and len(of_kind) >= int(of_kind[0]["shards"]):
            indices = [name for name in names if f".{kind}.index" in name and (variant or "") in name]
            return [*chosen, *(match.string for match in of_kind), *indices]
    return chosen


def has_weights(names: Iterable[str]) -> bool:
    """Whether any of the names is a file of weights."""
    return any(_WEIGHTS.fullmatch(name) for name in names)


def errors() -> tuple[type[Exception], ...]:
    """What the library raises where it cannot list or fetch: of the hub, the network, the disk, or a bad name."""
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    # The base of the errors of its network library, whose name depends on its version.
    network = next(kind for kind in HfHubHTTPError.__mro__ if kind.__module__.split(".")[0] != "huggingface_hub")
    return (OSError, network, EntryNotFoundError, HFValidationError)


def is_unreachable(error: Exception) -> bool:
    """Whether the hub did not answer, so that what lies in the cache has to do."""
    from huggingface_hub.errors import HFValidationError

    status = _status(error)
    return status >= 500 if status else not isinstance(error, HFValidationError) and not _is_of_the_disk(error)


def explained(error: Exception, argument: str, repository: str, revision: str | None) -> OSError:
    """The same error in a line that names the argument and the way out."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

    inner: BaseException = error  # the innermost says most: that a name is unknown, or a timeout
    while (cause := inner.__cause__ or inner.__context__) is not None and str(cause):
        inner = cause
    at, reason = f"`{argument}`: {repository!r}", (str(inner).strip() or type(inner).__name__).splitlines()[0]
    local = f"give a local folder or file in its place by `{option(argument)} PATH`"
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"{at} has no revision {revision!r} on the hub. Give a commit, tag or branch that it has, as "
            "owner/name@REVISION, or leave it out for the newest."
        )
    if isinstance(error, GatedRepoError) or _status(error) == 403:
        return PermissionError(
            f"{at} is gated: the hub gives it to those who accepted its terms. Do so at "
            f"https://huggingface.co/{repository}, log in by `hf auth login` and try again; or {local}."
        )
    if _is_of_the_disk(error):
        return OSError(
            f"{at} cannot be kept in the cache {HF_HUB_CACHE} ({reason}). Free some space or set HF_HOME to "
            "another folder, and try again: what is fetched is kept."
        )
    if is_unreachable(error):
        return ConnectionError(
            f"{at} is no local path, and the hub cannot be reached for it ({reason}). Try again with a connection, "
            f"or run `maskst weights --fetch` where there is one and copy its cache to {HF_HUB_CACHE} here; or {local}."
        )
    if _status(error) not in (None, 401, 404):
        return ConnectionError(f"{at} is refused by the hub ({reason}). Try again later; or {local}.")
    return FileNotFoundError(
        f"{at} is neither a local path nor a repository on the hub that you may see. Check the spelling; for a "
        f"private one log in by `hf auth login`; or {local}."
    )


def option(argument: str) -> str:
    """An argument as the command line takes it: one of `Backbone` by its name alone, any other in full."""
    return f"--model.backbone.{argument}" if argument in _BACKBONE else f"--{argument}"


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_of_the_disk(error: Exception) -> bool:
    """Whether the operating system, and not the network, failed."""
    network = (ConnectionError, TimeoutError)
    return isinstance(error, OSError) and (error.errno or 0) > 0 and not isinstance(error, network)
