"""Where weights come from: a local path, or a name on the Hugging Face hub."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules.diffusion.config import MINIATURE

_HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<inside>.+))?")


class Source(NamedTuple):
    """A folder or file, either at a local path or inside a hub repository."""

    local: bool
    repository: str
    revision: str | None = None
    inside: str = ""

    def within(self, *parts: str) -> "Source":
        """The source of a folder or file inside this one."""
        if self.local:
            return self._replace(repository=str(Path(self.repository, *parts)))
        return self._replace(inside="/".join(part for part in (self.inside, *parts) if part))


def find_source(name: str, argument: str, revision: str | None = None) -> Source:
    """Reads `name` as a local path where one exists, otherwise as `owner/name[@revision][/inside]`.

    Raises:
        FileNotFoundError: `name` is neither, or the shipped miniature is not there.
    """
    if name == "miniature":
        if not MINIATURE.is_dir():
            raise FileNotFoundError(
                f'`{argument}` is "miniature", but its weights are not at {MINIATURE}. Run from a checkout that has '
                "the `weights` folder beside `lightning_modules`, or name a model folder."
            )
        return Source(True, str(MINIATURE))
    path = Path(name).expanduser()
    if path.exists():
        return Source(True, str(path))
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        raise FileNotFoundError(
            f"`{argument}` must be a local path or a hub name `owner/name[@revision][/sub/folder]`; "
            f"nothing lies at {name!r} and it is no hub name."
        )
    return Source(False, match["repository"], match["revision"] or revision, match["inside"] or "")


def load_pretrained(load: Callable[..., Any], source: Source, argument: str, **options: Any) -> Any:
    """Calls `load` (the `from_pretrained` of a model, tokenizer or processor) on a source.

    A local folder is read without touching the network.

    Raises:
        FileNotFoundError: the folder or the hub repository does not hold what was asked for.
    """
    try:
        if source.local:
            return load(source.repository, local_files_only=True, **options)
        return load(source.repository, revision=source.revision, subfolder=source.inside, **options)
    except OSError as error:
        raise _not_found(source, argument, error) from error


def fetch_file(source: Source, argument: str) -> Path:
    """The local path of a file, downloaded into the hub's cache first where the source is a hub name.

    Raises:
        FileNotFoundError: the file is not there.
    """
    if source.local:
        if not Path(source.repository).is_file():
            raise _not_found(source, argument, "no such file")
        return Path(source.repository)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source.repository, source.inside, revision=source.revision))
    except OSError as error:
        raise _not_found(source, argument, error) from error


def _not_found(source: Source, argument: str, reason: object) -> FileNotFoundError:
    place = source.repository if source.local else "/".join(filter(None, (source.repository, source.inside)))
    kind = "local path" if source.local else "hub name"
    return FileNotFoundError(
        f"`{argument}`: could not load {place!r} ({kind}). Check the name and the connection; a local folder or file "
        f"works in place of a hub name. Reason: {str(reason).strip().splitlines()[0]}"
    )
