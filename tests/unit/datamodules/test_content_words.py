"""Images of any names and places, whose content the user says."""

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.references import ReferenceFolder, open_references
from datamodules.shards import write_shards
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import contents_of
from tests.unit.datamodules.folders import spoil, write_folder, write_image

PHRASE = "person, animal, plant, or object in the foreground"
FILES = ["pop art/01.jpg", "pop art/a dog.png", "deep/er/pop art/dog.v2.webp", "02.jpg"]


def test_one_phrase_is_that_of_all_files() -> None:
    assert contents_of(FILES, PHRASE) == [PHRASE] * 4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"*dog*": "dog", "*": "thing"}, ["thing", "dog", "dog", "thing"]),
        ({"*": "thing", "*dog*": "dog"}, ["thing"] * 4),
        ({"01.jpg": "cat", "a dog.png": "wolf", "02.jpg": "ship", "*": "thing"}, ["cat", "wolf", "thing", "ship"]),
        ({"pop art/*": "cat", "deep/*": "dog", "*": "thing"}, ["cat", "cat", "dog", "thing"]),
        ({"pop art/01": "cat", "02": "ship", "*/dog.v2": "dog", "*": "thing"}, ["cat", "thing", "dog", "ship"]),
        ({"pop art/01.jpg": "cat", "0?.jpg": "ship", "*": "thing"}, ["cat", "thing", "thing", "ship"]),
        ({"*DOG*": "dog", "*": "thing"}, ["thing"] * 4),
    ],
)
def test_the_first_name_or_pattern_that_matches_counts(words: dict[str, str], expected: list[str]) -> None:
    assert contents_of(FILES, words) == expected


def test_a_file_name_with_brackets_is_matched_as_it_is() -> None:
    assert contents_of(["style/cat[1].png", "style/cat1.png"], {"cat[1].png": "cat", "*": "dog"}) == ["cat", "cat"]
    assert contents_of(["style/[a].png"], {"[a].png": "cat"}) == ["cat"]


def test_files_that_nothing_matches_are_named_in_one_error() -> None:
    files = [f"style/{number:02}.jpg" for number in range(25)]
    with pytest.raises(ValueError, match="`content_words` has no word for 23 of 25 images") as error:
        contents_of(files, {"*/00": "cat", "01.jpg": "dog"})
    message = str(error.value)
    assert "\n  style/02.jpg\n" in message
    assert "\n  style/21.jpg\n  and 3 more\nAdd their file names, or a pattern" in message
    assert "style/22.jpg" not in message
    with pytest.raises(ValueError, match=r"1 of 1 images:\n  a.jpg\nAdd"):
        contents_of(["a.jpg"], {"b.jpg": "cat"})


def test_images_of_any_name_lie_at_any_depth_in_a_folder_named_by_their_style(tmp_path: Path) -> None:
    root = tmp_path / "My style"
    for name in ("x.png", "Pop art/IMG-01.jpg", "a/b/Line-Art/c.v2.WEBP", "pixel/3-cat-4.png"):
        write_image(root / name)
    for name in (".hidden/x.png", "pixel/.x.png", "pixel/notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no image")
    references = ReferenceFolder(root, PHRASE).references
    assert [(r.key, r.style) for r in references] == [
        ("Pop art/IMG-01", "Pop art"),
        ("a/b/Line-Art/c.v2", "Line-Art"),
        ("pixel/3-cat-4", "pixel"),
        ("x", "My style"),
    ]
    assert [r.index for r in references] == [0, 1, 2, 3]
    assert {r.content for r in references} == {PHRASE}
    assert references[0].content_prompt == "Person, animal, plant, or object in the foreground"


def test_the_root_may_be_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "My style" / "x.png")
    monkeypatch.chdir(tmp_path / "My style")
    assert ReferenceFolder(".", "dog").references[0][1:4] == ("x", "dog", "My style")


def test_the_style_in_a_file_name_comes_before_that_of_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, ("cat",), ("statue",), per_style=1)
    for name in ("zebra/a-zebra-in-oil painting_0.png", "cat/a-cat_1.png", "sketch/a-nice-one_1.png"):
        write_image(tmp_path / name)
    named = ReferenceFolder(tmp_path, {"zebra/*": "animal", "*": "thing"}).references
    assert [r[1:4] for r in named] == [
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
    references = ReferenceFolder(tmp_path / "root", "cat").references
    assert [(r.key, r.style) for r in references] == [("ink/cat", "ink"), ("wool/x", "wool")]


def test_damaged_images_are_skipped_as_ever(tmp_path: Path) -> None:
    write_image(tmp_path / "ink" / "1.png")
    spoil(write_image(tmp_path / "ink" / "2.png"), keep=0)
    with pytest.warns(UserWarning, match="1 of 2 images"):
        references = ReferenceFolder(tmp_path, "cat").references
    assert [r.key for r in references] == ["ink/1"]


def test_a_root_without_images_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "ink").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no image below `.*`. Expected .jpg, .*any depth. Point `train`"):
        open_references(tmp_path, "cat")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        open_references(tmp_path / "no", "cat")
    (tmp_path / "shard-000000.tar").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"without their index"):
        open_references(tmp_path, "cat")


def test_without_words_the_errors_lead_to_them(tmp_path: Path) -> None:
    write_image(tmp_path / "ink" / "1.png")
    with pytest.raises(ValueError, match="Images with any other names are read with `content_words`"):
        open_references(tmp_path)


def test_the_words_apply_to_the_keys_in_shards(tmp_path: Path) -> None:
    folder = ReferenceFolder(write_folder(tmp_path / "folder"))
    write_shards(folder, tmp_path / "shards")
    words = {"a-cat-in-line art_1.png": "kitten", "bird/*": "animal", "*": "thing"}
    shards = open_references(tmp_path / "shards", words)
    assert [r._replace(content="") for r in shards.references] == [r._replace(content="") for r in folder.references]
    assert [r.content for r in shards.references] == ["animal"] * 4 + ["thing"] * 3 + ["kitten"] + ["thing"] * 4
    assert shards.image(7).getpixel((0, 0)) == (7, 0, 200)
    assert shards.references == open_references(tmp_path / "folder", words).references
    with pytest.raises(ValueError, match=r"no word for 8 of 12 images:\n  cat/cat/a-cat-in-lego toy_0.png"):
        open_references(tmp_path / "shards", {"bird/*": "bird"})


def test_shards_of_images_with_any_names_keep_their_words(tmp_path: Path) -> None:
    write_image(tmp_path / "folder" / "ink" / "1.png")
    folder = open_references(tmp_path / "folder", PHRASE)
    write_shards(folder, tmp_path / "shards")
    assert open_references(tmp_path / "shards").references == folder.references


def test_the_words_apply_to_training_and_to_jobs(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "ink" / "1.png")
    write_image(tmp_path / "test" / "wool" / "1.png")
    roots = str(tmp_path / "train"), str(tmp_path / "test")
    references = StyleReferences(*roots, content_words=PHRASE, prompts=["A rocket"])
    assert references.content_prompts == ["Person, animal, plant, or object in the foreground"]
    [batch] = references.train_dataloader()
    assert [(r.content, r.style) for r in batch["references"]] == [(PHRASE, "ink")]
    [batch] = references.predict_dataloader()
    assert [(job.reference.content, job.reference.style) for job in batch["jobs"]] == [(PHRASE, "wool")]


@pytest.mark.parametrize("words", ["", " ", {}, {"*": ""}, {"a.png": "cat", "*": " "}])
def test_no_words_are_an_error(words: Any) -> None:
    with pytest.raises(ValueError, match=r"`content_words` was .*Expected a word or phrase, .*null takes the class"):
        StyleReferences(content_words=words)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [(PHRASE, PHRASE), ("null", None), ('{"*dog*": "a dog", "*": person}', {"*dog*": "a dog", "*": "person"})],
)
def test_the_command_line_takes_a_phrase_or_words_by_pattern(argument: str, expected: Any) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(StyleReferences, "data")
    settings = parser.parse_args([f"--data.content_words={argument}"])
    assert parser.instantiate_classes(settings).data.content_words == expected
