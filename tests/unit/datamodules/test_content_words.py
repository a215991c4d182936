"""Content words that are to be found: vocabularies, what references are then, and what of it lies in folders."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from datamodules.batches import Reference
from datamodules.captioned_images import CaptionedImages
from datamodules.miniature.style_bench import REFERENCE_CONTENTS, MiniatureStyleBench
from datamodules.pictures import Pictures
from datamodules.prediction_folders import finished_pictures, read_folders
from datamodules.shards import ReferenceLookup, open_references, write_shards
from datamodules.style_bench import StyleBench
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import CONTENTS, NOUNS, PROMPT_CONTENTS, TO_FIND, contents_of, read_vocabulary
from tests.unit.datamodules.folders import jobs_of, write_folder, write_image

FOUND = Reference(0, "a/b", "auto:0123456789abcdef", "", "digest", "cat")


def words_file(folder: Path, text: str) -> str:
    file = folder / "words.txt"
    file.write_bytes(text.encode())
    return str(file)


def test_the_shipped_nouns_are_about_a_thousand_words_in_lower_case_none_twice() -> None:
    lines = NOUNS.read_text(encoding="utf-8").splitlines()
    assert read_vocabulary("nouns") == lines and 1000 <= len(lines) <= 1100
    assert len({*lines}) == len(lines) and all(line == line.strip().lower() and line.isascii() for line in lines)
    assert {*CONTENTS, *PROMPT_CONTENTS} <= {*lines}


def test_a_vocabulary_is_the_miniatures_contents_or_a_file(tmp_path: Path) -> None:
    assert read_vocabulary("miniature") == [*CONTENTS, *PROMPT_CONTENTS]
    assert read_vocabulary(words_file(tmp_path, "\ufeffcat\r\n garden gnome \n")) == ["cat", "garden gnome"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", '`vocabulary`: the file `{file}` has no line. Expected "nouns", "miniature" or a text file'),
        (
            "cat\n\ndog\nCat\n",
            "`vocabulary`: 2 of 4 lines of `{file}` are faulty:\n  line 2: it is blank\n  line 4: 'Cat' stands "
            "in line 1 already",
        ),
        ("cat\n", "`vocabulary`: the file `{file}` has 'cat' alone. Expected"),
    ],
)
def test_faulty_vocabularies_are_told(text: str, told: str, tmp_path: Path) -> None:
    file = words_file(tmp_path, text)
    with pytest.raises(ValueError, match=f"^{re.escape(told.format(file=file))}"):
        read_vocabulary(file)


def test_a_vocabulary_that_is_missing_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`vocabulary` cannot be read: 'nuons' .* Expected \"nouns\""):
        read_vocabulary("nuons")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match=r"`vocabulary` cannot be read: .* is damaged, or something else"):
        read_vocabulary(str(tmp_path / "x.png"))


def test_a_content_that_is_to_be_found_tells_vocabularies_apart() -> None:
    [one, two, known] = contents_of(["a.png", "b/c.png", "dog.png"], {"dog*": "dog", "*": "auto"}, "miniature")
    assert TO_FIND.fullmatch(one) and (one, known) == (two, "dog")
    assert contents_of(["a.png"], "auto", "nouns") != [one] == contents_of(["a.png"], "auto", "miniature")


def test_a_found_word_is_the_word_and_no_part_of_the_identity() -> None:
    unnamed = FOUND._replace(found="")
    assert unnamed.is_to_find and unnamed.identity == FOUND.identity and unnamed.named({"a/b": "cat"}) == FOUND
    assert (FOUND.word, FOUND.content_prompt) == ("cat", "A cat")
    known = FOUND._replace(content="auto: a race", found="")
    assert (known.is_to_find, known.word, known.named({})) == (False, "auto: a race", known)


def test_every_datamodule_carries_the_vocabulary_with_its_jobs(tmp_path: Path) -> None:
    words = words_file(tmp_path, "one\ntwo\n")
    for name in ("IMG 1", "deep/er/2"):
        write_image(tmp_path / "any" / f"{name}.png", (len(name), 0, 0))
        Image.new("RGB", (8, 8), (len(name), 100, 0)).save(write_image(tmp_path / "bench" / "toy" / f"{len(name)}.png"))
    options = {"content_words": "auto", "vocabulary": words, "prompts": ["A rocket"]}
    bench = MiniatureStyleBench(str(tmp_path / "drawn"), 1, content_words="auto", vocabulary=words)
    bench.prepare_data()
    made = [
        StyleReferences(str(tmp_path / "any"), str(tmp_path / "any"), **options),
        CaptionedImages("none.jsonl", test=str(tmp_path / "any"), **options),
        Pictures([str(tmp_path / "any")], vocabulary=words),
        StyleBench(str(tmp_path / "bench"), **options),
        bench,
    ]
    for datamodule in made:
        batches = list(datamodule.predict_dataloader())
        assert jobs_of(batches) and all(job.reference.is_to_find for job in jobs_of(batches))
        assert all((batch["vocabulary"], batch["contents"]) == (["one", "two"], []) for batch in batches)
    [batch] = made[0].train_dataloader()
    assert batch["source"].vocabulary == ["one", "two"] and all(each.is_to_find for each in batch["references"])


def test_without_auto_no_vocabulary_is_read_and_none_is_carried(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    datamodule = StyleReferences(str(tmp_path / "data"), str(tmp_path / "data"), vocabulary="missing.txt")
    assert {*map(len, (batch["vocabulary"] for batch in datamodule.predict_dataloader()))} == {0}
    assert datamodule.content_prompts == ["A bird", "A cat", "A dog"]
    bench = MiniatureStyleBench(str(tmp_path / "drawn"), 1)
    bench.prepare_data()
    assert bench.content_prompts == [f"A {content}" for content in REFERENCE_CONTENTS]


def test_a_faulty_vocabulary_ends_the_setup(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    datamodule = StyleReferences(test=str(tmp_path / "data"), content_words="auto", vocabulary="missing.txt")
    with pytest.raises(FileNotFoundError, match="`vocabulary` cannot be read: 'missing.txt'"):
        datamodule.setup("predict")


def test_shards_are_read_with_words_to_find_as_folders_are(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    write_shards(open_references(root), tmp_path / "shards")
    read = [open_references(place, "auto", "miniature") for place in (root, tmp_path / "shards")]
    assert read[0].digest == read[1].digest != open_references(root, "auto", "nouns").digest


def test_lines_with_a_found_word_are_scored_by_it_and_finish_their_job(tmp_path: Path) -> None:
    file = write_image(tmp_path / "data" / "b.png")
    reference = (
        StyleReferences(test=str(file.parent), content_words="auto").test_set.references[0]._replace(found="cat")
    )
    told = {name: value for name, value in reference._asdict().items() if name != "index"}
    line = {"file": "x.png", "reference": told, "prompt": "A bench", "sample": 0, "seed": 1, "method": "masking"}
    write_image(tmp_path / "out" / "x.png")
    extra = {"share_masked": 0.1, "settings": {}, "found": {"margin": 0.3, "second": "dog"}}
    (tmp_path / "out" / "generations-0.jsonl").write_text(json.dumps(line | extra) + "\n")
    [prediction] = read_folders([str(tmp_path / "out")], ReferenceLookup([str(file.parent)])).predictions
    assert (prediction.content, prediction.content_prompt) == ("cat", "A cat")
    [finished] = finished_pictures(tmp_path / "out").values()
    assert finished.job.reference.word == "cat" and finished.job.reference.identity == reference.identity
