"""One door to weights: local folders and files, and repositories of the Hugging Face hub by way of its cache."""

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules.diffusion.config import MINIATURE
from lightning_modules.hub_cache import (
    cached_file,
    cached_snapshot,
    errors,
    explained,
    files_below,
    has_weights,
    in_folder,
    is_commit,
    is_unreachable,
    list_repository,
    needed_files,
    option,
)
from lightning_modules.tensor_files import pretrained

_HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<inside>.+))?")
UNDAMAGED = "Copy it again from where it is whole, or name another folder in the formats of diffusers and transformers."


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


def load_pretrained(
    load: Callable[..., Any],
    source: Source,
    argument: str,
    required: Collection[str] = ("config.json",),
    **options: Any,
) -> Any:
    """Calls `load` (the `from_pretrained` of a model, tokenizer or processor) on a source.

    What a hub name lacks in the cache is fetched first; `load` then reads a folder without touching the network.
    Weights are fetched only where `variant` is among the options, None meaning those without a variant.

    Raises:
        FileNotFoundError, ConnectionError, PermissionError: as `fetch_folder`.
        ValueError: a file is damaged.
    """
    folder = fetch_folder(source, argument, "variant" in options, options.get("variant"), required)
    try:
        return pretrained(load, folder, option(argument), UNDAMAGED, **options)
    except OSError as error:
        raise _not_found(source, argument, error) from error


def fetch_folder(
    source: Source,
    argument: str,
    weights: bool = False,
    variant: str | None = None,
    required: Collection[str] = (),
    stays: bool = False,
) -> Path:
    """The local path of a folder; of a hub repository those files come into the cache that loading opens.

    The network is asked of a commit only for what the cache does not know of, of other revisions always.

    Args:
        source: the folder.
        argument: that named it.
        weights: whether weights are needed, beside settings and vocabulary.
        variant: of the weights.
        required: names without which, unless it is known that there are none, the cache is not taken for complete.
        stays: a branch stays at the commit that a complete cache has, as if that had been named.

    Raises:
        FileNotFoundError: the folder or the hub repository does not hold what was asked for.
        ConnectionError: it is not in the cache, and the hub cannot be reached.
        PermissionError: the hub repository is gated.
    """
    if source.local:
        return Path(source.repository)

    def choose(names: Collection[str]) -> list[str]:
        there = in_folder(names, source.inside)
        chosen = needed_files(there, weights, variant)
        if not chosen:
            raise _not_found(source, argument, "no file of a model, tokenizer or processor is there")
        if weights and not has_weights(chosen):
            others = ", ".join(name for name in there if has_weights([name])) or "no weights at all"
            raise _not_found(source, argument, f"of the variant {variant} it has no weights; there: {others}")
        return [source.within(name).inside for name in chosen]

    return _fetch(source, argument, choose, [source.within(name).inside for name in required], stays) / source.inside


def fetch_file(source: Source, argument: str) -> Path:
    """The local path of a file, downloaded into the hub's cache first where the source is a hub name.

    Raises:
        FileNotFoundError, ConnectionError, PermissionError: as `fetch_folder`.
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


def _fetch(
    source: Source,
    argument: str,
    choose: Callable[[Collection[str]], list[str]],
    required: Collection[str] = (),
    stays: bool = False,
) -> Path:
    """The folder of a repository in the hub's cache, with the files that are chosen of its names."""
    if (stays or is_commit(source.revision)) and (folder := _cached(source, choose, required)):
        return folder
    try:
        listing = list_repository(source.repository, source.revision)
    except errors() as error:
        if is_unreachable(error) and (folder := _cached(source, choose)):
            return folder
        raise explained(error, argument, source.repository, source.revision) from error
    names = choose(listing.sizes)
    absent = set(required) - set(listing.sizes) if stays or is_commit(source.revision) else ()
    try:
        return _download(source, listing.commit, names, absent)
    except errors() as error:
        raise explained(error, argument, source.repository, source.revision) from error


def _cached(source: Source, choose: Callable[..., object], required: Collection[str] = ()) -> Path | None:
    """The same folder as an earlier run left it, if all that is chosen is there and nothing required is unknown."""
    from huggingface_hub import try_to_load_from_cache

    folder, place = cached_snapshot(source.repository, source.revision), source.repository
    with suppress(FileNotFoundError):
        known = all(try_to_load_from_cache(place, name, revision=source.revision) is not None for name in required)
        if folder is not None and known:
            choose(files_below(folder))
            return folder
    return None


def _download(source: Source, commit: str, names: list[str], absent: Collection[str]) -> Path:
    """The folder of a repository in the hub's cache, after those of the files are fetched that are not there."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in absent:
        with suppress(EntryNotFoundError):  # by which the cache learns that there is none
            hf_hub_download(source.repository, name, revision=source.revision)
    there = [cached_file(source.repository, name, commit) for name in names]
    if there[0] and all(there):
        return there[0].parents[names[0].count("/")]
    return Path(snapshot_download(source.repository, revision=source.revision, allow_patterns=names))


def _not_found(source: Source, argument: str, reason: object) -> FileNotFoundError:
    kind = "local path" if source.local else "hub name"
    return FileNotFoundError(
        f"`{argument}`: could not load {source.place!r} ({kind}). Check the name; a local folder or file works in "
        f"place of a hub name. Reason: {str(reason).strip().splitlines()[0]}"
    )
