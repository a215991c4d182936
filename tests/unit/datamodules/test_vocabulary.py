"""Names, captions and file names of the style references."""

from itertools import product

import pytest

from datamodules.vocabulary import (
    CONTENTS,
    PROMPT_CONTENTS,
    TEST_STYLES,
    TRAIN_STYLES,
    article,
    caption,
    content_prompt,
    parse_reference_name,
    reference_name,
)


def test_the_published_split_has_ten_contents_five_prompts_and_two_times_ten_styles():
    assert (len(CONTENTS), len(PROMPT_CONTENTS), len(TRAIN_STYLES), len(TEST_STYLES)) == (10, 5, 10, 10)
    assert not set(CONTENTS) & set(PROMPT_CONTENTS)
    assert not set(TRAIN_STYLES) & set(TEST_STYLES)


@pytest.mark.parametrize(
    "word",
    [
        "airplane",
        "Automobile",
        "elephant",
        "hour",
        "honest man",
        "umbrella",
        "uninteresting tree",
        "unimportant one",
        "owl",
        "ant",
    ],
)
def test_words_that_sound_like_a_vowel_take_an(word):
    assert article(word) == "an"


@pytest.mark.parametrize(
    "word",
    [
        "human",
        "unicorn",
        "uniform",
        "bench",
        "horse",
        "European city",
        "ukulele",
        "one-eyed cat",
        "used car",
        "utility pole",
        "ewe",
        "",
    ],
)
def test_the_other_words_take_a(word):
    assert article(word) == "a"


def test_prompts_and_captions_read_as_published():
    assert [content_prompt(word) for word in ("rocket", "airplane")] == ["A rocket", "An airplane"]
    assert caption("airplane", "lego toy") == "an airplane in lego toy style"
    assert reference_name("airplane", "lego toy", 3) == "an-airplane-in-lego-toy_3"


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        (
            "person, animal, plant, or object in the foreground",
            "Person, animal, plant, or object in the foreground",
        ),
        ("dog, cat", "Dog, cat"),
        ("the main object there", "The main object there"),
        ("little old dog", "A little old dog"),
        ("ISS", "An ISS"),
    ],
)
def test_a_list_or_a_longer_phrase_is_a_prompt_without_an_article(content, prompt):
    assert content_prompt(content) == prompt


def test_every_reference_name_reads_back():
    for content, style in product((*CONTENTS, *PROMPT_CONTENTS), (*TRAIN_STYLES, *TEST_STYLES)):
        assert parse_reference_name(reference_name(content, style, 12)) == (content, style)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("a-airplane-in-3D-model_0", ("airplane", "3D model")),
        ("a-forg-in-rainy-day_7", ("frog", "rainy day")),
        ("a-dog-surround-with-colored-smoke_2", ("dog", "surround with colored smoke")),
        ("a-cat-standing-in-a-beautiful-landscape_1", ("cat", "beautiful landscape")),
        ("a-cat-in-the-style-of-Line-Art_1", ("cat", "line art")),
        ("a-ship-in-watercolor-style_1", ("ship", "watercolor")),
        ("a-truck-in-the-style-of-van-gogh_4", ("truck", "van gogh")),
        ("a-truck-in-ink-wash-style_4", ("truck", "ink wash")),
        ("a-bird-surrealism_4", ("bird", "surrealism")),
        ("a-deer_4", ("deer", "")),
        ("a-horse-in-pop-art", ("horse", "pop art")),
        ("a-cat-in-lego toy_0", ("cat", "lego toy")),
        ("a-dog-in-surround with colored smoke_3", ("dog", "surround with colored smoke")),
        ("a-cat-sitting-in-the-style-of-line-art_2", ("cat", "line art")),
        ("a-cat-in-dark watercolor_0", ("cat", "dark watercolor")),
        ("a-cat-dark-watercolor-style_0", ("cat", "dark watercolor")),
        ("a-cat-in-photo-realism_1", ("cat", "photo realism")),
        ("a-cat-in-study-in-Watercolor_3", ("cat", "study in Watercolor")),
        ("a-cat-standing-in-dark-watercolor_3", ("cat", "standing in dark watercolor")),
        ("a-cat-neo-pop-art_3", ("cat", "neo pop art")),
    ],
)
def test_names_of_published_and_own_files_are_understood(stem, expected):
    assert parse_reference_name(stem) == expected


def test_users_bring_their_own_contents():
    assert parse_reference_name("a-teapot-in-statue_0", contents=["teapot"]) == ("teapot", "statue")
    assert parse_reference_name("a-forg-in-statue_0", contents=["forg"]) == ("forg", "statue")


@pytest.mark.parametrize(
    ("stem", "content", "style"),
    [
        ("a-hot-dog-in-dark-statue_3", "hot_dog", "dark statue"),
        ("a-hot_dog-in-statue_3", "hot_dog", "statue"),
        ("a-hot dog_3", "hot_dog", ""),
        ("a-dog-in-statue_3", "dog", "statue"),
        ("a-t-shirt-in-statue_3", "t-shirt", "statue"),
        ("a-hot-dog-stand-statue_3", "hot-dog-stand", "statue"),
    ],
)
def test_a_class_may_have_several_words_however_they_are_joined(stem: str, content: str, style: str):
    assert parse_reference_name(stem, ["dog", "hot_dog", "hot-dog-stand", "t-shirt"]) == (content, style)


@pytest.mark.parametrize(("stem", "field"), [("a-teapot-in-statue_0", "teapot"), ("IMG0001", ""), ("", "")])
def test_an_unknown_class_names_the_file_the_classes_and_the_way_out(stem, field):
    with pytest.raises(ValueError, match="`stem` must read") as error:
        parse_reference_name(stem)
    message = str(error.value)
    assert f"got {stem!r}, whose class field is {field!r}" in message
    assert "airplane, automobile, bird" in message
    assert "Rename the file or pass your classes as `contents`" in message
