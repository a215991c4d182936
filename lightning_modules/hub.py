"""One door to weights: local folders and files, and repositories of the Hugging Face hub by way of its cache."""

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules import hub_cache
from lightning_modules.diffusion.config import MINIATURE
from lightning_modules.hub_cache import files_below, has_weights, option
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

    "miniature", and a file "miniature/..." of it, is the one shipped with the project. Raises FileNotFoundError where
    `name` is neither, or the shipped miniature is not there.
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
    if (match := _HUB_NAME.fullmatch(name)) is None:
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
    """Calls `load` (the `from_pretrained` of a model, tokenizer or processor) on the folder of a source.

    Weights are fetched only where `variant` is among the options, None meaning those without a variant. Errors are
    those of `fetch_folder`, and ValueError for a damaged file.
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
        source: the folder, which `argument` named.
        weights: whether weights, of that `variant`, are needed beside settings and vocabulary.
        required: names without which, unless it is known that there are none, the cache is not taken for complete.
        stays: a branch stays at the commit that a complete cache has, as if that had been named.

    Raises FileNotFoundError where it is not there, ConnectionError where the cache lacks it and the hub cannot be
    reached, and PermissionError where the repository is gated.
    """
    if source.local:
        return Path(source.repository)

    def choose(names: Collection[str]) -> list[str]:
        there = hub_cache.in_folder(names, source.inside)
        chosen = hub_cache.needed_files(there, weights, variant)
        if not chosen:
            raise _not_found(source, argument, "no file of a model, tokenizer or processor is there")
        if weights and not has_weights(chosen):
            others = ", ".join(name for name in there if has_weights([name])) or "no weights at all"
            raise _not_found(source, argument, f"of the variant {variant} it has no weights; there: {others}")
        return [source.within(name).inside for name in chosen]

    return _fetch(source, argument, choose, [source.within(name).inside for name in required], stays) / source.inside


def fetch_file(source: Source, argument: str) -> Path:
    """The local path of a file, in the hub's cache where the source is a hub name; errors are `fetch_folder`'s."""
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
    place, settled = (source.repository, source.revision), stays or hub_cache.is_commit(source.revision)
    if settled and (folder := _cached(source, choose, required)):
        return folder
    try:
        commit, sizes = hub_cache.list_repository(*place)
    except hub_cache.errors() as error:
        if hub_cache.is_unreachable(error) and (folder := _cached(source, choose)):
            return folder
        raise hub_cache.explained(error, argument, *place) from error
    names = choose(sizes)
    try:
        return _download(source, commit, names, set(required) - set(sizes) if settled else ())
    except hub_cache.errors() as error:
        raise hub_cache.explained(error, argument, *place) from error


def _cached(source: Source, choose: Callable[..., object], required: Collection[str] = ()) -> Path | None:
    """The same folder as an earlier run left it, if all that is chosen is there and nothing required is unknown."""
    from huggingface_hub import try_to_load_from_cache as known

    place, revision = source.repository, source.revision
    folder = hub_cache.cached_snapshot(place, revision)
    with suppress(FileNotFoundError):
        if folder and all(known(place, name, revision=revision) is not None for name in required):
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
    there = [hub_cache.cached_file(source.repository, name, commit) for name in names]
    if there[0] and all(there):
        return there[0].parents[names[0].count("/")]
    return Path(snapshot_download(source.repository, revision=source.revision, allow_patterns=names))


def _not_found(source: Source, argument: str, reason: object) -> FileNotFoundError:
    kind = "local path" if source.local else "hub name"
    return FileNotFoundError(
        f"`{argument}`: could not load {source.place!r} ({kind}). Check the name; a local folder or file works in "
        f"place of a hub name. Reason: {str(reason).strip().splitlines()[0]}"
    )
