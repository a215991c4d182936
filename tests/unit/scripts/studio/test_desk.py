"""What may be brought to the studio, and where it lies."""

import os
import time
from pathlib import Path

import pytest

from scripts.studio.brought import read_brought
from scripts.studio.desk import MOST_BYTES, MOST_REFERENCES, Desks, Upload, file_names, received
from scripts.studio.gallery import Gallery
from tests.hostile import drawing, readable, unreadable


@pytest.mark.parametrize("name", unreadable())
def test_what_is_no_picture_is_said_in_one_sentence(name: str) -> None:
    data, reason = unreadable()[name]
    with pytest.raises(ValueError, match="^“") as caught:
        received(name, data)
    said = str(caught.value)
    assert reason in said
    assert "\n" not in said and "/" not in said.replace(">", "") and len(said) < 250


@pytest.mark.parametrize("name", readable())
def test_unusual_pictures_are_taken_as_they_came(name: str) -> None:
    data = readable()[name]
    upload = received(name, data)
    assert (upload.name, upload.data) == (name, data)
    assert upload.thumbnail.startswith(b"\x89PNG")


def test_more_bytes_than_are_taken_are_not_decoded() -> None:
    with pytest.raises(ValueError, match="“huge.png” has more than 32 MiB"):
        received("huge.png", bytes(MOST_BYTES + 1))


def test_names_of_files_are_kept_where_they_can_be() -> None:
    names = ["a cat.png", "A CAT.jpg", "..hidden.png", "ünter/../x.gif", "no suffix", "b.exe"]
    uploads = [Upload(name, b"", "", b"") for name in names]
    assert file_names(uploads) == ["a cat.png", "a-cat_2.jpg", "hidden_3.png", "x.gif", "no suffix.png", "b.png"]


def test_each_picture_lies_on_a_desk_once_and_no_more_than_fit(cat: Upload) -> None:
    desk = Desks().open("page")
    assert desk.bring([cat, cat], desk.references) == 0
    assert desk.references == [cat]
    many = [received(f"{seed}.png", drawing("dog", seed=seed)) for seed in range(MOST_REFERENCES)]
    assert desk.bring(many, desk.references) == 1
    assert desk.references == [cat, *many[:-1]]


def test_a_page_finds_its_desk_again_and_no_other() -> None:
    desks = Desks()
    first, second = desks.open("one"), desks.open("two")
    assert first is not second and first.key != second.key
    assert desks.open("one") is first
    assert desks.open("one loaded again", first.key) is first
    assert desks.open("two", first.key) is second  # it has brought something already
    assert desks.open("three", "guessed") not in (first, second)


def test_of_very_many_desks_the_last_used_are_kept() -> None:
    desks = Desks(most=3)
    first, second, _ = (desks.open(name) for name in "abc")
    desks.open("a")
    desks.open("d")
    assert desks.find(first.key) is first
    assert desks.find(second.key) is None and second.stop.is_set()
    for number in range(100):
        desks.open(str(number))
    assert len(desks) == 3


def test_galleries_are_forgotten_where_they_are_too_large_together(cat: Upload) -> None:
    desks = Desks()
    for name in "abc":
        gallery = desks.open(name).gallery = Gallery([], [], "", over=name != "a")
        gallery.masks = [_Sized(100)]  # type: ignore[list-item]
    desks.drop_galleries(most=150)
    assert [desks.open(name).gallery is None for name in "abc"] == [False, True, False]  # the first is being drawn


class _Sized:
    def __init__(self, size: int) -> None:
        self.figure = bytes(size)


def test_only_files_that_were_brought_are_read(tmp_path: Path, cat: Upload) -> None:
    folder, outside = tmp_path / "brought", tmp_path / "secret.png"
    (folder / "1").mkdir(parents=True)
    outside.write_bytes(cat.data)
    (folder / "1" / "cat.png").write_bytes(cat.data)
    (folder / "1" / "link.png").symlink_to(outside)
    paths = [folder / "1" / "cat.png", outside, folder / "1" / "link.png", folder / "1" / "none.png", folder]
    told = [{"path": str(path), "orig_name": path.name} for path in paths]
    told += [{"path": "http://127.0.0.1:1/a.png", "orig_name": "a.png"}, {"path": None}, "text", {}]  # type: ignore[list-item]
    uploads, faults = read_brought(told, folder)
    assert [upload.name for upload in uploads] == ["cat.png"]
    assert len(faults) == len(told) - 1
    assert all("bring it again" in fault for fault in faults)
    assert str(tmp_path) not in "".join(faults)


def test_what_was_brought_some_minutes_ago_is_removed(tmp_path: Path) -> None:
    for name, age in (("old", 3600), ("new", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"x")
        os.utime(tmp_path / name / "a.png", (time.time() - age,) * 2)
    read_brought([], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
