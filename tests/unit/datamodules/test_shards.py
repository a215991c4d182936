import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from datamodules.references import ReferenceSet
from datamodules.shards import open_references, write_shards
from tests.unit.datamodules.folders import spoil, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> ReferenceSet:
    return open_references(write_folder(tmp_path / "folder"))


def pixels(references: ReferenceSet) -> list[list[int]]:
    return [np.asarray(references.image(i)).ravel().tolist() for i in range(len(references))]


def encoded(references: ReferenceSet) -> list[bytes]:
    return [file.read() for file in references.files.values()]


def test_shards_hold_the_same_references_pixels_and_bytes(folder: ReferenceSet, tmp_path: Path) -> None:
    paths = write_shards(folder, tmp_path / "shards", shard_size=5)
    assert [path.name for path in paths] == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "shards"]
    shards = open_references(tmp_path / "shards")
    assert shards.references == folder.references
    assert pixels(shards) == pixels(folder)
    assert encoded(shards) == encoded(folder)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == sorted(
        path.name for path in tmp_path.glob("f*/**/*.png")
    )


def test_webdataset_reads_the_shards_too(folder: ReferenceSet, tmp_path: Path) -> None:
    write_shards(folder, tmp_path / "shards", shard_size=100)
    dataset = webdataset.WebDataset(str(tmp_path / "shards" / "shard-000000.tar"), shardshuffle=False)
    samples = list(dataset)
    assert [sample["__key__"] for sample in samples] == [reference.key for reference in folder.references]
    assert [sample["png"] for sample in samples] == encoded(folder)


def test_the_same_folder_gives_the_same_bytes(folder: ReferenceSet, tmp_path: Path) -> None:
    one, other = (write_shards(folder, tmp_path / name)[0].parent for name in ("one", "other"))
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_names_may_be_long_and_of_any_script_and_hold_dots(tmp_path: Path) -> None:
    names = [f"a-cat-in-{'very ' * 30}long style_0", "a-cat-in-水彩画 50% v1.5_0", "a-cat-in-水彩画 50% v1.5_1"]
    for red, name in enumerate(names):
        path = tmp_path / "100% of it" / "cat" / "cat" / f"{name}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3), (red, 0, 0)).save(path)
    folder = open_references(tmp_path / "100% of it")
    write_shards(folder, tmp_path / "100% packed")
    shards = open_references(tmp_path / "100% packed")
    assert shards.references == folder.references
    assert {reference.key.rpartition("/")[2] for reference in shards.references} == set(names)
    assert pixels(shards) == pixels(folder)


def test_a_damaged_image_within_a_shard_is_named_and_skipped(folder: ReferenceSet, tmp_path: Path) -> None:
    (shard,) = write_shards(folder, tmp_path / "shards")
    with tarfile.open(shard) as tar:
        member = tar.getmembers()[3]
    shard.chmod(0o644)
    with shard.open("r+b") as file:
        file.seek(member.offset_data)
        file.write(bytes(member.size))
    with pytest.warns(UserWarning, match=r"1 of 12 images .*\n.*shard-000000.tar: bird/bird/a-bird-in-line art_1.png"):
        shards = open_references(tmp_path / "shards")
    assert [r.key for r in shards.references] == [r.key for r in folder.references if r.index != 3]
    assert [r.index for r in shards.references] == list(range(11))


def test_shards_are_never_overwritten_unasked(folder: ReferenceSet, tmp_path: Path) -> None:
    target = tmp_path / "shards"
    write_shards(folder, target, shard_size=5)
    with pytest.raises(FileExistsError, match=r"holds shards already. Replace them with `overwrite`"):
        write_shards(folder, target)
    assert len(write_shards(folder, target, shard_size=100, overwrite=True)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "shards"]
    assert open_references(target).references == folder.references
    for other in (tmp_path / "folder", tmp_path / "folder" / "bird" / "bird" / "a-bird-in-line art_0.png"):
        with pytest.raises(FileExistsError, match=r"is there and holds no shards. Choose a `target`"):
            write_shards(folder, other, overwrite=True)
    assert len(open_references(tmp_path / "folder")) == 12


def test_an_interrupted_packing_leaves_nothing(folder: ReferenceSet, tmp_path: Path) -> None:
    def interrupted(indices: range) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(folder, tmp_path / "shards", progress=interrupted)
    with pytest.raises(ValueError, match="`shard_size` is a number of images from 1 up and was 0"):
        write_shards(folder, tmp_path / "shards", shard_size=0)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("found", ["cut", "missing"])
def test_an_incomplete_shard_is_named(folder: ReferenceSet, tmp_path: Path, found: str) -> None:
    shard = write_shards(folder, tmp_path / "shards", shard_size=5)[1]
    spoil(shard) if found == "cut" else shard.unlink()
    with pytest.raises(ValueError, match=r"shard-000001.tar` should have \d+ bytes and has \d+. Pack the references"):
        open_references(tmp_path / "shards")


def test_an_index_of_another_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shards.json").write_text(json.dumps({"format": "style-reference-shards-9"}))
    with pytest.raises(ValueError, match="format 'style-reference-shards-9', not 'style-reference-shards-1'. Pack"):
        open_references(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("members", 0, "shard"), "../folder/cat.tar"),
        (("members", 0, "shard"), "/dev/zero"),
        (("members", 0, "key"), "../../etc/passwd"),
        (("members", 0, "offset"), -1),
        (("members", 0, "size"), 10**9),
        (("members", 0, "size"), 1.5),
        (("members", 0, "suffix"), ".exe"),
        (("members", 0, "style"), None),
        (("members",), 3),
        (("shards",), {"../outside.tar": 3}),
    ],
)
def test_an_index_that_speaks_of_other_files_is_refused(
    folder: ReferenceSet, tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    write_shards(folder, tmp_path / "shards")
    index = holder = json.loads((tmp_path / "shards" / "shards.json").read_text())
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    (tmp_path / "shards" / "shards.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"`train` or `test` cannot be read: '.*shards.json' is damaged.* Pack the"):
        open_references(tmp_path / "shards")
