import os
from pathlib import Path

import numpy as np
import pytest

from datamodules.batches import Reference, digest_of
from datamodules.references import ReferenceFolder, open_references
from tests.unit.datamodules.folders import spoil, write_folder, write_image


def test_references_are_sorted_by_key_with_content_and_style(tmp_path: Path) -> None:
    root = write_folder(tmp_path, ("dog", "cat"), per_style=1)
    references = ReferenceFolder(root).references
    digests = [digest_of((root / f"{reference.key}.png").read_bytes()) for reference in references]
    assert len(set(digests)) == 4
    assert references == [
        Reference(0, "cat/cat/a-cat-in-lego toy_0", "cat", "lego toy", digests[0]),
        Reference(1, "cat/cat/a-cat-in-line art_0", "cat", "line art", digests[1]),
        Reference(2, "dog/dog/a-dog-in-lego toy_0", "dog", "lego toy", digests[2]),
        Reference(3, "dog/dog/a-dog-in-line art_0", "dog", "line art", digests[3]),
    ]


def test_both_depths_and_all_suffixes_are_found_in_any_case(tmp_path: Path) -> None:
    for name in ("cat/a-cat-in-statue_0.JPG", "dog/dog/a-dog-in-statue_0.webp", "dog/dog/a-dog-in-tattoo_0.jpeg"):
        write_image(tmp_path / name)
    keys = [reference.key for reference in ReferenceFolder(tmp_path).references]
    assert keys == ["cat/a-cat-in-statue_0", "dog/dog/a-dog-in-statue_0", "dog/dog/a-dog-in-tattoo_0"]


def test_the_misspelt_frog_is_a_frog_in_both_the_name_and_the_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "frog/frog/a-forg-in-statue_0.png")
    write_image(tmp_path / "forg/forg/a-forg-in-statue_0.png")
    references = ReferenceFolder(tmp_path).references
    assert [(r.key.split("/")[0], r.content) for r in references] == [("forg", "frog"), ("frog", "frog")]


def test_the_name_of_a_folder_is_a_class(tmp_path: Path) -> None:
    write_image(tmp_path / "Zebra/a-zebra-in-oil painting_0.png")
    write_image(tmp_path / "polar bear/a-polar bear-in-oil painting_0.png")
    references = ReferenceFolder(tmp_path).references
    assert [(r.content, r.style) for r in references] == [
        ("zebra", "oil painting"),
        ("polar bear", "oil painting"),
    ]


def test_hidden_files_and_files_that_are_no_images_are_not_looked_at(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",), ("statue",), per_style=1)
    for name in (".thumbnails/x.png", "cat/.hidden.png", "cat/.cache/a-cat-in-statue_9.png", "cat/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("no image")
    assert len(ReferenceFolder(tmp_path)) == 1


def test_the_image_of_an_index_is_that_of_its_reference(tmp_path: Path) -> None:
    references = ReferenceFolder(write_folder(tmp_path))
    colours = [np.asarray(references.image(r.index))[0, 0].tolist() for r in references.references]
    assert colours == [[number, 0, 200] for number in range(12)]


def test_unreadable_images_are_named_counted_and_skipped(tmp_path: Path) -> None:
    write_folder(tmp_path)
    empty = spoil(tmp_path / "bird/bird/a-bird-in-lego toy_0.png", keep=0)
    cut = spoil(tmp_path / "dog/dog/a-dog-in-line art_1.png", keep=0.7)
    with pytest.warns(UserWarning, match=r"^2 of 12 images of .* cannot be read and are skipped") as record:
        references = ReferenceFolder(tmp_path)
    assert len(record) == 1
    assert f"{empty} (the file is empty)" in str(record[0].message)
    assert str(cut) in str(record[0].message)
    assert list(references.skipped) == [str(empty), str(cut)]
    assert [r.index for r in references.references] == list(range(10))
    assert references.image(0).getpixel((0, 0)) == (1, 0, 200)


def test_a_long_list_of_unreadable_images_is_cut_short(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",), ("statue",), per_style=23)
    for i in range(22):
        spoil(tmp_path / f"cat/cat/a-cat-in-statue_{i}.png", keep=0)
    with pytest.warns(UserWarning, match="^22 of 23") as record:
        ReferenceFolder(tmp_path)
    assert str(record[0].message).endswith("and 2 more")


def test_a_set_without_any_readable_image_is_an_error(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",), ("statue",), per_style=1)
    spoil(tmp_path / "cat/cat/a-cat-in-statue_0.png", keep=0)
    with pytest.raises(ValueError, match=r"None of the 1 images of .* can be read; copy them again"):
        ReferenceFolder(tmp_path)


def test_a_missing_folder_is_named_with_the_layout_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        open_references(tmp_path / "object")
    message = str(error.value)
    assert message.startswith(f"There is no folder `{tmp_path / 'object'}`. Expected style references as `<root>/")
    assert "MiniatureReferences" in message


def test_a_folder_without_class_folders_says_so(tmp_path: Path) -> None:
    write_image(tmp_path / "a-cat-in-statue_0.png")
    with pytest.raises(FileNotFoundError, match=r"has no class folder. Expected .*<root>/<class>/<class>/"):
        open_references(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",))
    (tmp_path / "dog" / "dog").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"class folder `.*dog` holds no image.* or remove the folder"):
        open_references(tmp_path)


def test_tar_files_without_an_index_say_how_to_write_both(tmp_path: Path) -> None:
    (tmp_path / "shard-000000.tar").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"without their index .*python -m scripts.pack_shards"):
        open_references(tmp_path)


@pytest.mark.parametrize("name", ["IMG_1234", "photo", "a-lion-in-lego toy_0"])
def test_a_file_name_without_a_known_class_is_an_error_that_names_file_and_classes(tmp_path: Path, name: str) -> None:
    path = write_image(tmp_path / f"zebra/{name}.png")
    with pytest.raises(ValueError, match="does not say what the image shows") as error:
        open_references(tmp_path)
    assert str(path) in str(error.value)
    assert "airplane, automobile" in str(error.value)
    assert "zebra" in str(error.value)
    assert "The name of a class folder is a known class." in str(error.value)


def test_two_files_that_differ_in_their_suffix_alone_are_an_error(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        write_image(tmp_path / f"cat/a-cat-in-statue_0.{suffix}")
    with pytest.raises(ValueError, match=r"_0.jpg` and `.*_0.png` have the same name but for the suffix"):
        open_references(tmp_path)


def test_the_order_of_the_directory_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    expected = ReferenceFolder(tmp_path).references
    scandir, listdir = os.scandir, os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listdir(path), reverse=True))
    monkeypatch.setattr(Path, "glob", lambda self, pattern, glob=Path.glob: reversed(list(glob(self, pattern))))
    assert os.scandir is scandir
    assert ReferenceFolder(tmp_path).references == expected
