"""Where weights come from: a local path, or a name on the Hugging Face hub."""

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules.diffusion import hub
from lightning_modules.diffusion.config import MINIATURE
from lightning_modules.pretrained import pretrained

_HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<inside>.+))?")
UNDAMAGED = "Copy it again from where it is whole, or name another folder in the formats of diffusers and transformers."


class Source(NamedTuple):
    """A folder or file, either at a local path or inside a hub repository."""

    local: bool
    repository: str
    revision: str | None = None
    inside: str = ""
    checkpoint: str = ""
    """File with the weights of the model, of which the folder has the settings; "": the folder has both."""

    def within(self, *parts: str) -> "Source":
        """The source of a folder or file inside this one."""
        if self.local:
            return self._replace(repository=str(Path(self.repository, *parts)))
        return self._replace(inside="/".join(part for part in (self.inside, *parts) if part))

    @property
    def place(self) -> str:
        """The path or hub name, without the revision."""
        return self.repository if self.local else "/".join(filter(None, (self.repository, self.inside)))


def find_source(name: str, argument: str, revision: str | None = None) -> Source:
    """Reads `name` as a local path where one exists, otherwise as `owner/name[@revision][/inside]`.

    "miniature", and a file "miniature/..." of it, is the one shipped with the project.

    Raises:
        FileNotFoundError: `name` is neither, or the shipped miniature is not there.
    """
    shipped, _, inside = name.partition("/")
    if shipped == "miniature":
        if not MINIATURE.is_dir():
            raise FileNotFoundError(
                f'`{argument}` is "miniature", but its weights are not at {MINIATURE}. Run from a checkout that has '
                "the `weights` folder beside `lightning_modules`, or name a model folder."
            )
        return Source(True, str(MINIATURE / inside))
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

    What a hub name lacks in the cache is fetched first; `load` then reads a folder without touching the network.
    Weights are fetched only where `variant` is among the options, None meaning those without a variant.

    Raises:
        FileNotFoundError: the folder or the hub repository does not hold what was asked for.
        ConnectionError: it is not in the cache, and the hub cannot be reached.
        PermissionError: the hub repository is gated.
        ValueError: a file is damaged.
    """
    folder = fetch_folder(source, argument, "variant" in options, options.get("variant"))
    try:
        return pretrained(load, folder, hub.option(argument), UNDAMAGED, **options)
    except OSError as error:
        raise _not_found(source, argument, error) from error


def fetch_folder(source: Source, argument: str, weights: bool = False, variant: str | None = None) -> Path:
    """The local path of a folder; of a hub repository those files come into the cache that loading opens.

    Raises:
        FileNotFoundError, ConnectionError, PermissionError: as `load_pretrained`.
    """
    if source.local:
        return Path(source.repository)

    def choose(names: Collection[str]) -> list[str]:
        there = hub.in_folder(names, source.inside)
        chosen = hub.needed_files(there, weights, variant)
        if not chosen:
            raise _not_found(source, argument, "no file of a model, tokenizer or processor is there")
        if weights and not hub.has_weights(chosen):
            others = ", ".join(name for name in there if hub.has_weights([name])) or "no weights at all"
            raise _not_found(source, argument, f"of the variant {variant} it has no weights; there: {others}")
        return [source.within(name).inside for name in chosen]

    return _fetch(source, argument, choose) / source.inside


def fetch_file(source: Source, argument: str) -> Path:
    """The local path of a file, downloaded into the hub's cache first where the source is a hub name.

    Raises:
        FileNotFoundError, ConnectionError, PermissionError: as `load_pretrained`.
    """
    if source.local:
        if not Path(source.repository).is_file():
            raise _not_found(source, argument, "no such file")
        return Path(source.repository)

    def choose(names: Collection[str]) -> list[str]:
        if source.inside not in names:
            raise _not_found(source, argument, f"no such file among the {len(names)} of the repository")
        return [source.inside]

    return _fetch(source, argument, choose) / source.inside


def _fetch(source: Source, argument: str, choose: Callable[[Collection[str]], list[str]]) -> Path:
    """The folder of a repository in the hub's cache, with the files that are chosen of its names."""
    place = source.repository, source.revision
    try:
        listing = hub.list_repository(*place)
    except hub.errors() as error:
        return _cached(source, argument, choose, error)
    names = choose(listing.sizes)
    try:
        return hub.download(*place, listing.commit, names)
    except hub.errors() as error:
        raise hub.explained(error, argument, *place) from error


def _cached(source: Source, argument: str, choose: Callable[[Collection[str]], list[str]], error: Exception) -> Path:
    """The same folder as an earlier run left it, where the hub is out of reach and the files are all there."""
    place = source.repository, source.revision
    folder = hub.cached_snapshot(*place) if hub.is_unreachable(error) else None
    if folder is not None:
        with suppress(FileNotFoundError):
            choose(files_below(folder))
            return folder
    raise hub.explained(error, argument, *place) from error


def files_below(folder: Path) -> list[str]:
    """Names of all files in a folder and its subfolders, with forward slashes."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _not_found(source: Source, argument: str, reason: object) -> FileNotFoundError:
    kind = "local path" if source.local else "hub name"
    return FileNotFoundError(
        f"`{argument}`: could not load {source.place!r} ({kind}). Check the name; a local folder or file works in "
        f"place of a hub name. Reason: {str(reason).strip().splitlines()[0]}"
    )
