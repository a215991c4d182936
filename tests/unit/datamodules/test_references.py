"""Sets of references in folders: what their names or given words say, and images that cannot be read."""

import os
from pathlib import Path
from typing import Any

import pytest

from datamodules.batches import Reference, digest_of
from datamodules.shards import open_references, write_shards
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import contents_of
from tests.unit.datamodules.folders import spoil, write_folder, write_image

PHRASE = "person, animal, plant, or object in the foreground"
FILES = ["pop art/01.jpg", "pop art/a dog.png", "deep/er/dog.v2.webp", "02.jpg"]


def test_references_are_sorted_by_key_with_content_style_and_image(tmp_path: Path) -> None:
    root = write_folder(tmp_path, ("dog", "cat"), per_style=1)
    images = open_references(root)
    digests = [digest_of((root / f"{reference.key}.png").read_bytes()) for reference in images.references]
    assert len(set(digests)) == 4
    assert images.references == [
        Reference(0, "cat/cat/a-cat-in-lego toy_0", "cat", "lego toy", digests[0]),
        Reference(1, "cat/cat/a-cat-in-line art_0", "cat", "line art", digests[1]),
        Reference(2, "dog/dog/a-dog-in-lego toy_0", "dog", "lego toy", digests[2]),
        Reference(3, "dog/dog/a-dog-in-line art_0", "dog", "line art", digests[3]),
    ]
    assert [images.image(index).getpixel((0, 0)) for index in range(4)] == [(n, 0, 200) for n in (2, 3, 0, 1)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["cat/a-cat-in-statue_0.JPG"], ("cat/a-cat-in-statue_0", "cat", "statue")),
        (["dog/dog/a-dog-in-tattoo_0.jpeg"], ("dog/dog/a-dog-in-tattoo_0", "dog", "tattoo")),
        (["forg/forg/a-forg-in-statue_0.webp"], ("forg/forg/a-forg-in-statue_0", "frog", "statue")),
        (["frog/frog/a-forg-in-statue_0.png"], ("frog/frog/a-forg-in-statue_0", "frog", "statue")),
        (["Zebra/a-zebra-in-oil painting_0.png"], ("Zebra/a-zebra-in-oil painting_0", "zebra", "oil painting")),
        (["polar bear/a-polar bear-in-ink_0.png"], ("polar bear/a-polar bear-in-ink_0", "polar bear", "ink")),
        (["hot_dog/a-hot-dog-in-dark ink_0.png"], ("hot_dog/a-hot-dog-in-dark ink_0", "hot dog", "dark ink")),
        (
            [
                "cat/a-cat-in-statue_0.png",
                ".thumbs/x.png",
                "cat/.x.png",
                "cat/.cache/a-cat-in-statue_9.png",
                "cat/a.txt",
            ],
            ("cat/a-cat-in-statue_0", "cat", "statue"),
        ),
    ],
)
def test_names_say_class_and_style_and_hidden_files_are_not_looked_at(
    tmp_path: Path, files: list[str], expected: tuple[str, str, str]
) -> None:
    for name in files:
        write_image(tmp_path / name).rename(tmp_path / name) if name[-3:] != "txt" else (tmp_path / name).touch()
    assert [r[1:4] for r in open_references(tmp_path).references] == [expected]


def test_unreadable_images_are_named_counted_and_skipped(tmp_path: Path) -> None:
    write_folder(tmp_path)
    empty = spoil(tmp_path / "bird/bird/a-bird-in-lego toy_0.png", keep=0)
    cut = spoil(tmp_path / "dog/dog/a-dog-in-line art_1.png", keep=0.7)
    with pytest.warns(UserWarning, match=r"^2 of 12 images of .* cannot be read and are skipped") as record:
        references = open_references(tmp_path)
    assert len(record) == 1
    assert f"{empty} (the file is empty)" in str(record[0].message)
    assert list(references.skipped) == [str(empty), str(cut)]
    assert [r.index for r in references.references] == list(range(10))
    assert references.image(0).getpixel((0, 0)) == (1, 0, 200)


def test_a_long_list_of_unreadable_images_is_cut_short_and_none_readable_is_an_error(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",), ("statue",), per_style=23)
    for i in range(22):
        spoil(tmp_path / f"cat/cat/a-cat-in-statue_{i}.png", keep=0)
    with pytest.warns(UserWarning, match="^22 of 23") as record:
        open_references(tmp_path)
    assert str(record[0].message).endswith("\n  and 2 more")
    spoil(tmp_path / "cat/cat/a-cat-in-statue_22.png", keep=0)
    with pytest.raises(ValueError, match=r"None of the 23 images of .* can be read; copy them again"):
        open_references(tmp_path)


def test_formats_that_are_not_read_broken_links_and_odd_names_are_counted(tmp_path: Path) -> None:
    write_image(tmp_path / "ink" / "1.png")
    (tmp_path / "ink" / "2.heic").write_bytes(b"heic")
    write_image(tmp_path / "ink" / "3.tiff").rename(tmp_path / "ink" / "3.nef")  # Pillow would read a preview
    (tmp_path / "ink" / "4.png").symlink_to("nowhere.png")
    (tmp_path / "ink" / "5.png").symlink_to("5.png")
    write_image(tmp_path / "ink" / os.fsdecode(b"\xff.png"))
    with pytest.warns(UserWarning, match="5 of 6 images"):
        references = open_references(tmp_path, "cat")
    assert [r.key for r in references.references] == ["ink/1"]
    reasons = {Path(name).name: why for name, why in references.skipped.items()}
    assert list(reasons) == ["2.heic", "3.nef", "4.png", "5.png", "\\udcff.png"]
    assert reasons["4.png"] == "No such file or directory"


@pytest.mark.parametrize("words", ["cat", None])
def test_loops_of_links_bring_no_image_twice(tmp_path: Path, words: str | None) -> None:
    write_folder(tmp_path / "root", ("cat",), ("lego toy",))
    for place, target in [("loop", "."), ("cat/up", ".."), ("cat/cat/twin", "../../cat"), ("over", "..")]:
        (tmp_path / "root" / place).symlink_to(target)
    keys = [r.key for r in open_references(tmp_path / "root", words).references]
    assert keys == ["cat/cat/a-cat-in-lego toy_0", "cat/cat/a-cat-in-lego toy_1"]


@pytest.mark.parametrize(
    ("made", "words", "error", "text"),
    [
        ([], None, FileNotFoundError, "^There is no folder `.*`. Expected .*`<root>/.*MiniatureReferences"),
        ([], "cat", FileNotFoundError, "There is no folder"),
        (["a-cat-in-statue_0.png"], None, FileNotFoundError, "has no class folder. Expected .*<root>/<class>/<class>/"),
        (["cat/a-cat_0.png", "dog/dog/"], None, FileNotFoundError, "class folder `.*dog` holds no image.* or remove"),
        (["ink/"], "cat", FileNotFoundError, "no image below `.*`. Expected .jpg, .*any depth. Point `train`"),
        (["shard-000000.tar"], None, FileNotFoundError, "without their index .*python -m scripts.pack_shards"),
        (["ink/", "shard-000000.tar"], "cat", FileNotFoundError, "without their index"),
        (["cat/a-cat_0.png", "cat/a-cat_0.jpg"], None, ValueError, "a-cat_0.jpg` and `.*a-cat_0.png` have the same"),
        (["zebra/IMG_1.png"], None, ValueError, r"`.*IMG_1.png` does not say .*zebra.*read with `content_words`"),
        (["zebra/a-lion-in-lego toy_0.png"], None, ValueError, "`.*a-lion-in-lego toy_0.png` does not say .*airplane"),
    ],
)
def test_folders_of_another_layout_are_named_with_the_way_out(
    tmp_path: Path, made: list[str], words: str | None, error: type[Exception], text: str
) -> None:
    root = tmp_path / "object"
    for name in made:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir(parents=True) if name.endswith("/") else write_image(root / f"{name}.png").rename(
            root / name
        )
    with pytest.raises(error, match=text):
        open_references(root, words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (PHRASE, [PHRASE] * 4),
        ({"*dog*": "dog", "*": "thing"}, ["thing", "dog", "dog", "thing"]),
        ({"*": "thing", "*dog*": "dog"}, ["thing"] * 4),
        ({"01.jpg": "cat", "a dog.png": "wolf", "02.jpg": "ship", "*": "thing"}, ["cat", "wolf", "thing", "ship"]),
        ({"pop art/*": "cat", "deep/*": "dog", "*": "thing"}, ["cat", "cat", "dog", "thing"]),
        ({"pop art/01": "cat", "02": "ship", "*/dog.v2": "dog", "*": "thing"}, ["cat", "thing", "dog", "ship"]),
        ({"pop art/01.jpg": "cat", "0?.jpg": "ship", "*": "thing"}, ["cat", "thing", "thing", "ship"]),
        ({"*DOG*": "dog", "*": "thing"}, ["thing"] * 4),
    ],
)
def test_the_first_name_or_pattern_that_matches_counts(words: str | dict[str, str], expected: list[str]) -> None:
    assert contents_of(FILES, words) == expected


def test_a_file_name_with_brackets_is_matched_as_it_is() -> None:
    assert contents_of(["style/cat[1].png", "style/cat1.png"], {"cat[1].png": "cat", "*": "dog"}) == ["cat", "cat"]
    assert contents_of(["style/[a].png"], {"[a].png": "cat"}) == ["cat"]


def test_files_that_nothing_matches_are_named_in_one_error() -> None:
    files = [f"style/{number:02}.jpg" for number in range(25)]
    text = r"(?s)`content_words` has no word for 23 of 25 images:\n  style/02.jpg\n.*style/21.jpg\n  and 3 more\nAdd"
    with pytest.raises(ValueError, match=text):
        contents_of(files, {"*/00": "cat", "01.jpg": "dog"})
    with pytest.raises(ValueError, match=r"1 of 1 images:\n  a.jpg\nAdd their file names, or a pattern"):
        contents_of(["a.jpg"], {"b.jpg": "cat"})


def test_images_of_any_name_lie_at_any_depth_in_a_folder_named_by_their_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "My style"
    for name in ("x.png", "Pop art/IMG-01.jpg", "a/b/Line-Art/c.v2.WEBP", ".hidden/x.png", "pixel/.x.png"):
        write_image(root / name)
    (root / "notes.txt").touch()
    references = open_references(root, PHRASE).references
    assert [(r.key, r.style) for r in references] == [
        ("Pop art/IMG-01", "Pop art"),
        ("a/b/Line-Art/c.v2", "Line-Art"),
        ("x", "My style"),
    ]
    assert {r.content for r in references} == {PHRASE}
    assert references[0].content_prompt == "Person, animal, plant, or object in the foreground"
    monkeypatch.chdir(root)
    assert open_references(".", PHRASE).references == references


def test_the_style_in_a_file_name_comes_before_that_of_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",), ("statue",), per_style=1)
    for name in ("zebra/a-zebra-in-oil painting_0.png", "cat/a-cat_1.png", "sketch/a-nice-one_1.png"):
        write_image(tmp_path / name)
    assert [r[1:4] for r in open_references(tmp_path, {"zebra/*": "animal", "*": "thing"}).references] == [
        ("cat/a-cat_1", "thing", "cat"),
        ("cat/cat/a-cat-in-statue_0", "thing", "statue"),
        ("sketch/a-nice-one_1", "thing", "sketch"),
        ("zebra/a-zebra-in-oil painting_0", "animal", "oil painting"),
    ]


def test_linked_images_and_folders_keep_the_names_of_their_links(tmp_path: Path) -> None:
    write_image(tmp_path / "blobs" / "x.png")
    (tmp_path / "root" / "ink").mkdir(parents=True)
    (tmp_path / "root" / "ink" / "cat.png").symlink_to(tmp_path / "blobs" / "x.png")
    (tmp_path / "root" / "wool").symlink_to(tmp_path / "blobs")
    references = open_references(tmp_path / "root", "cat").references
    assert [(r.key, r.style) for r in references] == [("ink/cat", "ink"), ("wool/x", "wool")]


def test_the_words_apply_to_the_keys_in_shards_which_keep_their_own(tmp_path: Path) -> None:
    folder = open_references(write_folder(tmp_path / "folder"))
    write_shards(folder, tmp_path / "shards")
    words = {"a-cat-in-line art_1.png": "kitten", "bird/*": "animal", "*": "thing"}
    shards = open_references(tmp_path / "shards", words)
    assert shards.references == open_references(tmp_path / "folder", words).references
    assert [r.content for r in shards.references] == ["animal"] * 4 + ["thing"] * 3 + ["kitten"] + ["thing"] * 4
    assert shards.image(7).getpixel((0, 0)) == (7, 0, 200)
    with pytest.raises(ValueError, match=r"no word for 8 of 12 images:\n  cat/cat/a-cat-in-lego toy_0.png"):
        open_references(tmp_path / "shards", {"bird/*": "bird"})
    write_shards(shards, tmp_path / "again")
    assert open_references(tmp_path / "again").references == shards.references


def test_the_words_apply_to_training_and_to_jobs(tmp_path: Path) -> None:
    roots = [str(write_image(tmp_path / style / "1.png").parent) for style in ("ink", "wool")]
    references = StyleReferences(*roots, content_words=PHRASE, prompts=["A rocket"])
    assert references.content_prompts == ["Person, animal, plant, or object in the foreground"]
    [batch], [jobs] = references.train_dataloader(), references.predict_dataloader()
    assert [(r.content, r.style) for r in batch["references"]] == [(PHRASE, "ink")]
    assert [(job.reference.content, job.reference.style) for job in jobs["jobs"]] == [(PHRASE, "wool")]


@pytest.mark.parametrize("words", ["", " ", {}, {"*": ""}, {"a.png": "cat", "*": " "}])
def test_no_words_are_an_error(words: Any) -> None:
    with pytest.raises(ValueError, match=r"`content_words` was .*Expected a word or phrase, .*null takes the class"):
        StyleReferences(content_words=words)
