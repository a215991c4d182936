"""Packs a folder of style references into a few large tar files, which slow disks and networks read faster.

The image files go into the shards as they are, so training and prediction give the same results with either
form: point `train` or `test` of the datamodule to the new folder.

    python -m scripts.pack_shards data/object data/object_shards
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial

from tqdm import tqdm

from datamodules.files import FolderInUseError, FolderLock
from datamodules.shards import open_references, write_shards
from datamodules.vocabulary import AUTO, check_content_words
from scripts.paths import to_path
from scripts.stopping import stoppable

WORDS = (
    "what the images show, which may have any names then: a word or phrase, or words by file name or pattern, as in "
    """`content_words` of the datamodule: '{"*dog*": "dog", "*": "person"}'"""
)


def main(args: Sequence[str] | None = None) -> None:
    """Packs what the command line names, and says what it packed and what it had to skip."""
    parser = argparse.ArgumentParser(
        "python -m scripts.pack_shards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", type=to_path, help="folder with <class>/<class>/<image>")
    parser.add_argument("target", metavar="TARGET", type=to_path, help="folder to write; complete or not there at all")
    parser.add_argument("--content-words", metavar="WORDS", help=WORDS)
    parser.add_argument("--shard-size", metavar="N", type=int, default=1000, help="images in a shard (default: 1000)")
    parser.add_argument("--overwrite", action="store_true", help="replace shards that TARGET holds already")
    options = parser.parse_args(args)
    lock = FolderLock(options.target.resolve(), "TARGET", beside=True)
    try:
        lock.take()  # another run is told before the source is read
        lock.release()
        references = open_references(options.source, _content_words(options.content_words))
        bar = partial(tqdm, desc="packing", unit="image")
        shards = write_shards(references, options.target, options.shard_size, options.overwrite, bar)
    except (OSError, ValueError, FolderInUseError) as error:
        parser.error(str(error))
    skipped = f", {len(references.skipped)} unreadable ones skipped" if references.skipped else ""
    tqdm.write(f"{len(references)} images in {len(shards)} shards in {options.target}{skipped}")


def _content_words(given: str | None) -> str | dict[str, str] | None:
    """A word or phrase, or as JSON words by file name or pattern."""
    words = json.loads(given) if given is not None and given.lstrip().startswith("{") else given
    check_content_words(words)
    if AUTO in (words.values() if isinstance(words, dict) else [words]):
        raise ValueError(
            f"`--content-words`: {AUTO!r} is found when pictures are drawn, not when they are packed. Give any word "
            "here and `content_words: auto` to the datamodule that reads the shards, which counts there."
        )
    return words


if __name__ == "__main__":
    with stoppable():
        main()
