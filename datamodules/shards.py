"""Style references packed into a few large tar files, which slow disks and networks read faster.

The tar files are webdataset shards with the original image files in them. An index beside them says where
each image begins, so that shards are read in any order, like a folder: nothing is unpacked or copied.
"""

import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.folders import replacing_folder
from datamodules.images import SUFFIXES
from datamodules.reading import inside, read_json, reading
from datamodules.references import SHARD_INDEX, Entry, ReferenceSet

FORMAT = "style-reference-shards-1"
PATTERN = "shard-%06d.tar"
_ARGUMENT = "train` or `test"
_AGAIN = "Pack the references again with `python -m scripts.pack_shards SOURCE TARGET`."

Progress = Callable[[Iterable[int]], Iterable[int]]


class ShardMember(NamedTuple):
    """An image that is a stretch of bytes within a shard."""

    shard: Path
    key: str
    suffix: str
    offset: int
    size: int

    @property
    def name(self) -> str:
        """The shard and the name within it."""
        return f"{self.shard}: {self.key}{self.suffix}"

    def read(self) -> bytes:
        """The encoded image, untouched."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class ReferenceShards(ReferenceSet):
    """The style references of a folder that `write_shards` wrote.

    Args:
        root: Folder with the shards and their index.

    Raises:
        ValueError: If the index is damaged, of another format or speaks of other files than its shards, or a shard is
            missing or not complete.
    """

    def __init__(self, root: str | Path) -> None:
        root = Path(root)
        index = read_json(root / SHARD_INDEX, _ARGUMENT, _AGAIN)
        _check_format(root, index)
        with reading(root / SHARD_INDEX, _ARGUMENT, _AGAIN):
            sizes = {inside(root, name): size for name, size in index["shards"].items()}
            entries = [_entry(root, member, sizes) for member in index["members"]]
        _check_sizes(sizes)
        super().__init__(root, entries)


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
        FolderInUseError: If another process packs into the target.
        WriteError: If the disk is full or the target cannot be written.
        FileExistsError: If the target is there and is not to be overwritten, or is not a folder of shards.
    """
    if shard_size < 1:
        raise ValueError(f"`shard_size` is a number of images from 1 up and was {shard_size}.")
    target = Path(target).resolve()
    with replacing_folder(target, "target") as staging:
        _check_target(target, overwrite)
        staging.mkdir()
        _write_tars(references, staging, shard_size, progress)
        _write_index(references, staging)
    return sorted(target.glob("*.tar"))


def _entry(root: Path, member: dict[str, Any], sizes: dict[Path, int]) -> Entry:
    """Raises ValueError where a member lies outside of the shards that the index names."""
    key, content, style, suffix = (member[name] for name in ("key", "content", "style", "suffix"))
    place = ShardMember(inside(root, member["shard"]), key, suffix, member["offset"], member["size"])
    inside(root, key)
    if not 0 <= place.offset <= place.offset + place.size <= sizes[place.shard]:
        raise ValueError(f"{key!r} lies outside of its shard")
    is_typed = isinstance(content, str) and isinstance(style, str) and isinstance(place.offset + place.size, int)
    if not is_typed or suffix.lower() not in SUFFIXES:
        raise ValueError(f"{key!r} is no image with a content and a style")
    return Entry(key, content, style, place)


def _check_format(root: Path, index: dict[str, Any]) -> None:
    found = index.get("format")
    if found != FORMAT:
        raise ValueError(f"`{root / SHARD_INDEX}` is of the format {found!r}, not {FORMAT!r}. {_AGAIN}")


def _check_sizes(sizes: dict[Path, int]) -> None:
    for shard, size in sizes.items():
        n_bytes = shard.stat().st_size if shard.is_file() else 0
        if n_bytes != size:
            raise ValueError(f"The shard `{shard}` should have {size} bytes and has {n_bytes}. {_AGAIN}")


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / SHARD_INDEX).is_file():
        raise FileExistsError(f"`{target}` is there and holds no shards. Choose a `target` that is not there.")
    if not overwrite:
        raise FileExistsError(
            f"`{target}` holds shards already. Replace them with `overwrite`, or choose another `target`."
        )


def _write_tars(references: ReferenceSet, folder: Path, shard_size: int, progress: Progress) -> None:
    from webdataset import ShardWriter

    pattern = f"{str(folder).replace('%', '%%')}/{PATTERN}"
    # PAX, because the default format refuses long names; a fixed time, so that same images give same bytes.
    options: dict[str, Any] = {"encoder": False, "format": "PAX_FORMAT", "mtime": 0.0, "verbose": 0}
    with ShardWriter(pattern, maxcount=shard_size, **options) as writer:
        for index in progress(range(len(references))):
            source = references.source(index)
            writer.write({"__key__": references.references[index].key, source.suffix[1:]: source.read()})


def _write_index(references: ReferenceSet, folder: Path) -> None:
    shards = sorted(folder.glob("*.tar"))
    places = [(shard.name, member) for shard in shards for member in _members_of(shard)]
    members = [
        {
            "key": reference.key,
            "content": reference.content,
            "style": reference.style,
            "shard": shard,
            "suffix": references.source(reference.index).suffix,
            "offset": member.offset_data,
            "size": member.size,
        }
        for reference, (shard, member) in zip(references.references, places, strict=True)
    ]
    index = {"format": FORMAT, "shards": {s.name: s.stat().st_size for s in shards}, "members": members}
    (folder / SHARD_INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _members_of(shard: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(shard) as tar:
        return tar.getmembers()
