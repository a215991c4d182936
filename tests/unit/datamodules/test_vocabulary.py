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


def test_the_published_split_has_ten_contents_five_prompts_and_two_times_ten_styles() -> None:
    assert (len(CONTENTS), len(PROMPT_CONTENTS), len(TRAIN_STYLES), len(TEST_STYLES)) == (10, 5, 10, 10)
    assert not set(CONTENTS) & set(PROMPT_CONTENTS)
    assert not set(TRAIN_STYLES) & set(TEST_STYLES)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("an", "airplane|Automobile|elephant|hour|honest man|umbrella|uninteresting tree|unimportant one|owl|ant"),
        ("a", "human|unicorn|uniform|bench|horse|European city|ukulele|one-eyed cat|used car|utility pole|ewe|"),
    ],
)
def test_the_article_follows_the_first_sound(expected: str, words: str) -> None:
    assert {word: article(word) for word in words.split("|")} == dict.fromkeys(words.split("|"), expected)


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        ("rocket", "A rocket"),
        ("airplane", "An airplane"),
        ("person, animal, plant, or object in view", "Person, animal, plant, or object in view"),
        ("dog, cat", "Dog, cat"),
        ("the main object there", "The main object there"),
        ("little old dog", "A little old dog"),
        ("ISS", "An ISS"),
    ],
)
def test_a_list_or_a_longer_phrase_is_a_prompt_without_an_article(content: str, prompt: str) -> None:
    assert content_prompt(content) == prompt


def test_captions_read_as_published_and_every_reference_name_reads_back() -> None:
    assert caption("airplane", "lego toy") == "an airplane in lego toy style"
    assert reference_name("airplane", "lego toy", 3) == "an-airplane-in-lego-toy_3"
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
def test_names_of_published_and_own_files_are_understood(stem: str, expected: tuple[str, str]) -> None:
    assert parse_reference_name(stem) == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("a-teapot-in-statue_0", ("teapot", "statue")),
        ("a-forg-in-statue_0", ("forg", "statue")),
        ("a-hot-dog-in-dark-statue_3", ("hot_dog", "dark statue")),
        ("a-hot_dog-in-statue_3", ("hot_dog", "statue")),
        ("a-hot dog_3", ("hot_dog", "")),
        ("a-dog-in-statue_3", ("dog", "statue")),
        ("a-t-shirt-in-statue_3", ("t-shirt", "statue")),
        ("a-hot-dog-stand-statue_3", ("hot-dog-stand", "statue")),
    ],
)
def test_users_bring_their_own_contents_of_one_word_or_several(stem: str, expected: tuple[str, str]) -> None:
    assert parse_reference_name(stem, ["teapot", "forg", "dog", "hot_dog", "hot-dog-stand", "t-shirt"]) == expected


@pytest.mark.parametrize(("stem", "field"), [("a-teapot-in-statue_0", "teapot"), ("IMG0001", ""), ("", "")])
def test_an_unknown_class_names_the_file_the_classes_and_the_way_out(stem: str, field: str) -> None:
    text = f"`stem` must read .* airplane, automobile, bird.*got {stem!r}, whose class field is {field!r}.* Rename the"
    with pytest.raises(ValueError, match=text):
        parse_reference_name(stem)
