"""Style references in folders, or packed into a few large tar files, which slow disks and networks read faster.

The tar files are webdataset shards with the original image files in them. An index beside them says where
each image begins, so that shards are read in any order, like a folder: nothing is unpacked or copied.
"""

import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from datamodules.batches import Reference, digest_of
from datamodules.files import replacing_folder
from datamodules.images import SUFFIXES, ImageFile, images_below
from datamodules.reading import inside, read_json, reading
from datamodules.references import Entry, ReferenceSet, read_reference_folder
from datamodules.vocabulary import contents_of

SHARD_INDEX = "shards.json"
"""The file that makes a folder a folder of shards."""
FORMAT = "style-reference-shards-1"
PATTERN = "shard-%06d.tar"
_ARGUMENT = "train` or `test"
_AGAIN = "Pack the references again with `python -m scripts.pack_shards SOURCE TARGET`."

Progress = Callable[[Iterable[int]], Iterable[int]]


def open_references(
    root: str | Path, content_words: str | dict[str, str] | None = None, vocabulary: str = "nouns"
) -> ReferenceSet:
    """The style references of a folder of images, or of the shards that `scripts.pack_shards` wrote.

    `content_words` says what the images show, as in `contents_of`; None leaves that to file names and shards.

    Raises:
        FileNotFoundError: If the folder, or the images in it, are missing.
        ValueError: If an image does not say what it shows, or the shards are damaged, of another format or incomplete.
    """
    root = Path(root)
    if (root / SHARD_INDEX).is_file():
        return _read_shards(root, content_words, vocabulary)
    try:
        return read_reference_folder(root, content_words, vocabulary)
    except FileNotFoundError:
        if not any(root.glob("*.tar")):
            raise
        told = f"`{root}` holds tar files without their index `{SHARD_INDEX}`."
        raise FileNotFoundError(f"{told} Write both with `python -m scripts.pack_shards SOURCE TARGET`.") from None


class ReferenceLookup:
    """Images below some roots by what `maskst predict` wrote of them: their content decides, their name only helps.

    Args:
        roots: Folders or shards of style references, and folders of content images. A content image lies directly
            in a root, or in the folder `content` of a root.

    Raises:
        FileNotFoundError: If a root is missing.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots = list(roots)
        self._named: defaultdict[str, list[ImageFile]] = defaultdict(list)
        self._digest = cache(lambda file: digest_of(file.read()))
        self._keys: dict[str, str] = {}
        for root in map(Path, roots):
            if not root.is_dir():
                way_out = "Give the folders that the references were read from when the pictures were generated."
                raise FileNotFoundError(f"`references`: there is no folder `{root}`. {way_out}")
            self._list(root)

    def key_of(self, reference: Reference) -> str:
        """Its key; with a part of its digest where another image has had that key."""
        first = self._keys.setdefault(reference.key, reference.digest)
        return reference.key if first == reference.digest else f"{reference.key} ({reference.digest[:8]})"

    def find(self, key: str, digest: str) -> ImageFile:
        """The image of these bytes, under its key or any other name; raises ValueError if there is none."""
        named = self._named.get(key, [])
        for file in named:
            if self._digest(file) == digest:
                return file
        if digest in self._elsewhere:
            return self._elsewhere[digest]
        told = f"there is no {key!r}"
        if named:
            other = f"`{named[0].name}` is another image than the {key!r} that the picture was drawn from"
            told = f"{other}; that one is nowhere"
        raise ValueError(f"{told} below `references` ({', '.join(self.roots)})")

    def _list(self, root: Path) -> None:
        if (root / SHARD_INDEX).is_file():
            for reference, file in open_references(root).files.items():
                self._named[reference.key].append(file)
        for path in images_below(root):
            place = path.relative_to(root).with_suffix("")
            self._named[place.as_posix()].append(ImageFile(path))
            if str(place.parent) in (".", "content"):
                self._named[f"content:{place.name}"].append(ImageFile(path))

    @cached_property
    def _elsewhere(self) -> dict[str, ImageFile]:
        """All images below the roots by their bytes: read only once a name leads nowhere."""
        return {self._digest(file): file for files in self._named.values() for file in files}


def write_shards(
    references: ReferenceSet,
    target: str | Path,
    shard_size: int = 1000,
    overwrite: bool = False,
    progress: Progress = iter,
) -> list[Path]:
    """Packs the encoded files of a set into shards of `shard_size` images and returns their paths.

    Everything is written beside the target and takes its place, in one step, when it is complete.

    Raises:
        ValueError: If `shard_size` is not positive.
        FileExistsError: If the target is there and is not to be overwritten, or is not a folder of shards.
        FolderInUseError, WriteError: As `replacing_folder`.
    """
    if shard_size < 1:
        raise ValueError(f"`shard_size` is a number of images from 1 up and was {shard_size}.")
    target = Path(target).resolve()
    with replacing_folder(target, "target") as staging:
        is_packed = (target / SHARD_INDEX).is_file()
        if target.exists() and not is_packed and not (target.is_dir() and not any(target.iterdir())):
            raise FileExistsError(f"`{target}` is there and holds no shards. Choose a `target` that is not there.")
        if is_packed and not overwrite:
            way_out = "Replace them with `overwrite`, or choose another `target`."
            raise FileExistsError(f"`{target}` holds shards already. {way_out}")
        staging.mkdir()
        _write_tars(references, staging, shard_size, progress)
        _write_index(references, staging)
    return sorted(target.glob("*.tar"))


def _read_shards(root: Path, content_words: str | dict[str, str] | None, vocabulary: str) -> ReferenceSet:
    index = read_json(root / SHARD_INDEX, _ARGUMENT, _AGAIN)
    if index.get("format") != FORMAT:
        raise ValueError(f"`{root / SHARD_INDEX}` is of the format {index.get('format')!r}, not {FORMAT!r}. {_AGAIN}")
    with reading(root / SHARD_INDEX, _ARGUMENT, _AGAIN):
        sizes = {inside(root, name): size for name, size in index["shards"].items()}
        entries = [_entry(root, member, sizes) for member in index["members"]]
    for shard, size in sizes.items():
        n_bytes = shard.stat().st_size if shard.is_file() else 0
        if n_bytes != size:
            raise ValueError(f"The shard `{shard}` should have {size} bytes and has {n_bytes}. {_AGAIN}")
    if content_words is not None:
        contents = contents_of([entry.key + entry.file.suffix for entry in entries], content_words, vocabulary)
        entries = [entry._replace(content=content) for entry, content in zip(entries, contents, strict=True)]
    return ReferenceSet(root, entries)


def _entry(root: Path, member: dict[str, Any], sizes: dict[Path, int]) -> Entry:
    """Raises ValueError where a member lies outside of the shards that the index names."""
    key, content, style, suffix = (member[name] for name in ("key", "content", "style", "suffix"))
    shard, start, size = inside(root, member["shard"]), member["offset"], member["size"]
    inside(root, key)
    if not 0 <= start <= start + size <= sizes[shard]:
        raise ValueError(f"{key!r} lies outside of its shard")
    is_typed = isinstance(content, str) and isinstance(style, str) and isinstance(start + size, int)
    if not is_typed or suffix.lower() not in SUFFIXES:
        raise ValueError(f"{key!r} is no image with a content and a style")
    return Entry(key, content, style, ImageFile(shard, key + suffix, start, size))


def _write_tars(references: ReferenceSet, folder: Path, shard_size: int, progress: Progress) -> None:
    from webdataset import ShardWriter

    pattern = f"{str(folder).replace('%', '%%')}/{PATTERN}"
    # PAX, because the default format refuses long names; a fixed time, so that same images give same bytes.
    options: dict[str, Any] = {"encoder": False, "format": "PAX_FORMAT", "mtime": 0.0, "verbose": 0}
    with ShardWriter(pattern, maxcount=shard_size, **options) as writer:
        for index in progress(range(len(references))):
            reference = references.references[index]
            file = references.files[reference]
            writer.write({"__key__": reference.key, file.suffix[1:]: file.read()})


def _write_index(references: ReferenceSet, folder: Path) -> None:
    shards, members, left = sorted(folder.glob("*.tar")), [], iter(references.files.items())
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member, (reference, file) in zip(tar.getmembers(), left, strict=False):
                told = {"key": reference.key, "content": reference.content, "style": reference.style}
                place = {"shard": shard.name, "suffix": file.suffix, "offset": member.offset_data, "size": member.size}
                members.append(told | place)
    index = {"format": FORMAT, "shards": {s.name: s.stat().st_size for s in shards}, "members": members}
    (folder / SHARD_INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
