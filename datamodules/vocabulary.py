"""The names of contents and styles, the captions and file names made of them, and lists of words to find."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from datamodules.names import digest
from datamodules.reading import listed, parse_rows, read_bytes, reading

CONTENTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PROMPT_CONTENTS = ("bench", "human", "laptop", "rocket", "flower")
TRAIN_STYLES = (
    *("natural environment", "rainy day", "snowy day", "3D model", "abstract", "cyberpunk", "oil painting"),
    *("realism", "watercolor", "beautiful landscape"),
)
TEST_STYLES = (
    *("lego toy", "statue", "steampunk", "stick figure", "tattoo", "line art", "wool toy"),
    *("surround with colored smoke", "pop art", "surround with white smoke"),
)
MISSPELT = {"forg": "frog"}
"""Class fields of published files that are spelt wrongly, and what they mean."""
AUTO = "auto"
"""As a content word: the word is found among those of a vocabulary."""
TO_FIND = re.compile(r"auto:[0-9a-f]{16}")
"""The content of a reference whose word is to be found: the fingerprint of the vocabulary stands in it."""
NOUNS = Path(__file__).with_name("nouns.txt")
"""The vocabulary "nouns": some thousand names of what a picture may show."""
_EXPECTED_WORDS = "a text file (UTF-8) with a word or phrase a line, two or more, none blank and none twice"

_SOUNDS_LIKE_CONSONANT = re.compile(r"(uni(?!n|m)|use|usu|ut[io]|uk|eu|ewe|one\b|once\b)", re.IGNORECASE)
_SILENT_H = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)
_LEAD = re.compile(r"^(in the style of|in)\s+(?=\S)", re.IGNORECASE)
_TAIL = re.compile(r"\s+style$", re.IGNORECASE)
_ARTICLE = re.compile(r"^(an?|the)\s+", re.IGNORECASE)


def article(word: str) -> str:
    """The indefinite article "a" or "an" that `word` takes by its first sound."""
    if _SOUNDS_LIKE_CONSONANT.match(word):
        return "a"
    return "an" if _SILENT_H.match(word) or word.lower().startswith(tuple("aeiou")) else "a"


def content_prompt(content: str) -> str:
    """The prompt that names a content alone: "A rocket"; a list or a longer phrase takes no article."""
    if "," in content or len(content.split()) > 3:
        return content[:1].upper() + content[1:]
    return f"{article(content).capitalize()} {content}"


def caption(content: str, style: str) -> str:
    """The caption of a style reference: "an airplane in lego toy style"."""
    return f"{article(content)} {content} in {style} style"


def reference_name(content: str, style: str, index: int) -> str:
    """The file stem of a style reference: "an-airplane-in-lego-toy_3"."""
    return f"{article(content)}-{content}-in-{style.replace(' ', '-')}_{index}"


def parse_reference_name(stem: str, contents: Iterable[str] = (*CONTENTS, *PROMPT_CONTENTS)) -> tuple[str, str]:
    """The content and style of a file stem `<article>-<class>-...-<style words>_<i>`.

    Blanks, `-` and `_` within a class are alike, and the longest class counts. The style is what stands after the
    class without a leading "in" or "in the style of" and a trailing "style", and as it is written unless it is one of
    the published ones, which may also follow words on the content and "in". Raises ValueError when the class is not
    among `contents`.
    """
    known = {_words(content): content for content in contents}
    fields = re.sub(r"_\d+$", "", stem).split("-")
    for end in range(len(fields), 1, -1):
        name = _words("-".join(fields[1:end]))
        content = known.get(name) or known.get(MISSPELT.get(name, ""))
        if content is not None:
            return content, _style(" ".join(fields[end:]))
    raise ValueError(
        f"`stem` must read <article>-<class>-...-<style words>_<i> with a class among "
        f"{', '.join(known.values())}; got {stem!r}, whose class field is {''.join(fields[1:2])!r}. "
        "Rename the file or pass your classes as `contents`."
    )


def is_text(name: str) -> bool:
    """Whether UTF-8 can write a name: not with the lone surrogates by which Python reads names of other encodings."""
    return shown(name) == name


def shown(name: str) -> str:
    """A name for messages, whatever its encoding."""
    return name.encode("utf-8", "backslashreplace").decode()


def contents_of(files: Sequence[str], content_words: str | dict[str, str], vocabulary: str = "nouns") -> list[str]:
    """The content of each image file, a path below its root with `/` and suffix, by words that a user gave.

    `content_words` is one word or phrase for all files, or words by file name or by a glob pattern over the path, with
    or without suffix (`*` matches `/` too); the first that matches counts. The content of files whose word is "auto" is
    as in `TO_FIND`. ValueError: none matches a file, or `vocabulary` is faulty.
    """
    given = [content_words] * len(files) if isinstance(content_words, str) else _matches(files, content_words)
    if AUTO not in given:
        return given
    to_find = f"auto:{digest(repr(read_vocabulary(vocabulary)).encode())}"
    return [to_find if content == AUTO else content for content in given]


def read_vocabulary(vocabulary: str) -> list[str]:
    """The words among which contents are found: of the list "nouns", of the "miniature", or of a file, a word a line.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it has too few words, or blank lines or words that stand there twice, all of which are named.
    """
    if vocabulary == "miniature":
        return [*CONTENTS, *PROMPT_CONTENTS]
    file, first = NOUNS if vocabulary == "nouns" else Path(vocabulary), dict[str, int]()
    expected = f'"nouns", "miniature" or {_EXPECTED_WORDS}'
    with reading(file, "vocabulary", f"Expected {expected}."):
        lines = read_bytes(file).decode("utf-8-sig").splitlines()

    def parse(number: int, line: str) -> str:
        if not (word := line.strip()):
            raise ValueError("it is blank")
        if (before := first.setdefault(word.casefold(), number)) != number:
            raise ValueError(f"{word!r} stands in line {before} already")
        return word

    words = parse_rows(file, "vocabulary", expected, list(enumerate(lines, start=1)), parse, "line")
    if len(words) == 1:
        raise ValueError(f"`vocabulary`: the file `{file}` has {words[0]!r} alone. Expected {expected}.")
    return words


def _matches(files: Sequence[str], content_words: dict[str, str]) -> list[str]:
    found = {file: _first_match(file, content_words) for file in files}
    if without := [file for file, content in found.items() if content is None]:
        raise ValueError(
            f"`content_words` has no word for {len(without)} of {len(files)} images:\n  {listed(without)}\n"
            'Add their file names, or a pattern; "*", as the last, matches whatever is left.'
        )
    return [content for content in found.values() if content is not None]


def check_content_words(content_words: str | dict[str, str] | None) -> None:
    """Raises ValueError unless they are words, or words by file name or pattern."""
    words = content_words.values() if isinstance(content_words, dict) else [content_words or ""]
    if content_words is not None and not (words and all(isinstance(word, str) and word.strip() for word in words)):
        raise ValueError(
            f"`content_words` was {content_words!r}. Expected a word or phrase, or one for each file name or pattern, "
            'such as {"*dog*": "dog", "*": "person"}; "auto" finds words, null takes the class in the file name.'
        )


def _first_match(file: str, content_words: dict[str, str]) -> str | None:
    path = PurePosixPath(file)
    names = (path.name, file, file.removesuffix(path.suffix))
    for pattern, content in content_words.items():
        if any(name == pattern or fnmatchcase(name, pattern) for name in names):
            return content
    return None


def _style(words: str) -> str:
    bare = _TAIL.sub("", words.strip())
    style = _LEAD.sub("", bare)
    if style == bare and not _published(bare):  # words on the content come first
        style = re.split(r"\bin\s+", bare, flags=re.IGNORECASE)[-1]
        return _published(_LEAD.sub("", f"in {style}")) or bare
    return _published(style) or style


def _published(style: str) -> str | None:
    """The published style that these words name, with or without an article."""
    styles = {style.lower(): style for style in (*TRAIN_STYLES, *TEST_STYLES)}
    return styles.get(_ARTICLE.sub("", _words(style)).lower())


def _words(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name)
