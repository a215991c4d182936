"""Measure how often the content words that are found are right, and print the table of docs/data.md.

The conditioning CLIP was trained on the test styles; in those of StyleBench's small copy it has never seen a picture.
"""

import argparse
import logging
import warnings
from collections.abc import Iterator, Sequence
from itertools import product

import torch

from datamodules.batches import Reference
from datamodules.miniature.generate import BENCH_STYLES, draw
from datamodules.vocabulary import CONTENTS, TEST_STYLES, read_vocabulary
from lightning_modules.conditions import IPAdapter
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.picture_generator import PictureGenerator
from scripts.miniature.training import ALL_CONTENTS, FRESH_SEED
from scripts.stopping import stoppable

# Contents, styles, drawings of each pair, and the first seed: that of the test references is the datamodule's.
SETS: dict[str, tuple[Sequence[str], Sequence[str], int, int]] = {
    "test references": (CONTENTS, TEST_STYLES, 2, 0),
    "other drawings in their styles": (ALL_CONTENTS, TEST_STYLES, 4, FRESH_SEED),
    "styles that the CLIP has never seen": (ALL_CONTENTS, list(BENCH_STYLES), 8, FRESH_SEED),
}
VOCABULARIES = "miniature", "nouns"
_TO_FIND = f"auto:{0:016x}"
HEAD = "| | vocabulary | drawings | right | said to be unsure | right among the others | wrong and said to be unsure |"


def measured(generator: PictureGenerator, name: str) -> Iterator[str]:
    """A row in Markdown for each vocabulary."""
    contents, styles, each, seed = SETS[name]
    drawn = list(product(contents, styles, range(each)))
    images = [draw(content, style, [seed, place]) for content, style, place in drawn]
    features = torch.cat([generator.model.encode_images([image]) for image in images])
    for vocabulary in VOCABULARIES:
        words = read_vocabulary(vocabulary)
        digests = [f"{name} {vocabulary} {row}" for row in range(len(drawn))]
        asked = [Reference(row, digest, _TO_FIND, "", digest) for row, digest in enumerate(digests)]
        found = generator.find_words(asked, words, lambda reference: features[reference.index][None])
        told = [found[reference.key] for reference in asked]
        right = torch.tensor([one.word == content for one, (content, *_) in zip(told, drawn, strict=True)])
        unsure = torch.tensor([one.is_unsure for one in told])
        wrong = f"{int((unsure & ~right).sum())} of {int((~right).sum())}"
        shares = [float(part.double().mean()) for part in (right, unsure, right[~unsure])]
        cells = [name, vocabulary, str(len(drawn)), *(f"{100 * share:.1f} %" for share in shares), wrong]
        yield f"| {' | '.join(cells)} |"


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    argparse.ArgumentParser("python -m scripts.miniature.measure_words", description=__doc__).parse_args(args)
    generator = PictureGenerator(IPAdapter(), Backbone(), SamplingSettings())
    generator.load()
    lines = [HEAD, "|---" * HEAD[1:].count("|") + "|"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which words are unsure is counted
        lines += [row for name in SETS for row in measured(generator, name)]
    logging.getLogger("measure").info("%s", "\n".join(lines))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        main()
