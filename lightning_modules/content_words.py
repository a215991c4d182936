"""Content words that are found by the paired CLIP, and what is said of words that are unsure or mask too much."""

import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from datamodules.batches import Reference
from datamodules.reading import listed
from lightning_modules.outputs import MOST_MASKED, Found

UNSURE = 0.4
"""A word is unsure if its cosine leads the second best by at most this share of its lead over their mean.

A share, for cosines of one CLIP are not those of another. On the miniature 1.5 % of the 200 test references are unsure,
all of which are right; of its drawings in styles that its CLIP has never seen 57 %, among them 83 % of the wrong words.
"""
_WORDS = 64  # of a vocabulary are encoded at a time


class ContentWords:
    """Finds the words of references, each image's once, and warns of doubtful ones, once of each."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], Found] = {}
        self._told: set[tuple[str, ...]] = set()

    def forget(self) -> None:
        """Forgets the words, but not of which it has warned."""
        self._kept.clear()

    def find(
        self,
        references: Iterable[Reference],
        vocabulary: Sequence[str],
        template: str,
        image_feature: Callable[[Reference], Tensor],
        text_features: Callable[[Sequence[str]], Tensor],
    ) -> dict[str, Found]:
        """By key, the word that is found for each of those references whose word is to be found.

        Args:
            references: some references.
            vocabulary: the words, at least 2.
            template: how the text tower is told of them.
            image_feature: e `(1, dim)` of a reference; that of an image is asked for once.
            text_features: t `(words, dim)` of words.

        Raises:
            ValueError: there is no vocabulary, or a feature is not finite.
        """
        keys = {each: (each.digest, each.content, template) for each in references if each.is_to_find}
        if keys and not vocabulary:
            raise ValueError(
                f"`vocabulary` is missing in the batch, among whose words that of {next(iter(keys)).key!r} is to be "
                "found. Take the batches of StyleReferences, which carry it, or give `content_words`."
            )
        doubts, parts = [], [vocabulary[start : start + _WORDS] for start in range(0, len(vocabulary), _WORDS)]
        for reference, key in keys.items():
            if key not in self._kept:
                texts = torch.cat([*map(text_features, parts)])
                cosines = _cosines(image_feature(reference), texts, reference)
                self._kept[key] = best_word(cosines, vocabulary)
                if self._kept[key].is_unsure:
                    doubts.append(_doubt(reference, self._kept[key], float(cosines.max())))
        if doubts:
            warnings.warn(
                f"`content_words` are found, and of {len(doubts)} references they are unsure:\n  {listed(doubts)}\n"
                'Say what these images show, such as {"photo.jpg": "dog", "*": "auto"}, or give another `vocabulary`.',
                stacklevel=2,
            )
        return {reference.key: self._kept[key] for reference, key in keys.items()}

    def warn_of_masks(self, references: Sequence[Reference], share_masked: Tensor) -> None:
        """Warns of references of whose feature too much is masked; shares are `(references,)` or of each level."""
        shares = share_masked.reshape(len(references), -1).mean(1).tolist()
        much = {(each.key, each.digest, each.word): share for each, share in zip(references, shares, strict=True)}
        much = {told: share for told, share in much.items() if share > MOST_MASKED and told not in self._told}
        self._told |= much.keys()
        if much:
            named = (f"{key!r} by the word {word!r}: {100 * share:.0f} %" for (key, _, word), share in much.items())
            warnings.warn(
                f"The mask drops more than half of the image feature of {len(much)} references, whose pictures take "
                f"little of their style:\n  {listed(named)}\nGive other `content_words` for them, or mask by "
                "quantiles, which drop as much as they are told: configs/predict/masking_quantile.yaml.",
                stacklevel=2,
            )


def best_word(cosines: Tensor, words: Sequence[str]) -> Found:
    """The word with the largest of `cosines` `(words,)`, of equal ones the first."""
    order = cosines.argsort(descending=True, stable=True)
    best, second = cosines[order[:2]].tolist()
    margin = best - second
    is_unsure = margin <= UNSURE * (best - float(cosines.mean()))
    return Found(words[int(order[0])], margin, words[int(order[1])], is_unsure)


def _cosines(feature: Tensor, texts: Tensor, reference: Reference) -> Tensor:
    """Cosines `(words,)` of an image feature `(1, dim)` with text features, the same whatever the device."""
    e, t = (normalize(each.detach().cpu().double(), dim=-1) for each in (feature, texts))
    cosines = (t * e).sum(-1)  # no matrix product, whose order of sums may depend on their number
    if not cosines.isfinite().all():
        raise ValueError(
            f"`content_words` cannot be found for {reference.key!r}: its feature, or that of a word, is not finite. "
            "Encode in float32 (or bfloat16), or say what the images show."
        )
    return cosines


def _doubt(reference: Reference, found: Found, cosine: float) -> str:
    second = f"{found.second!r} ({cosine - found.margin:.3f})"
    return f"{reference.key!r}: {found.word!r} (cosine {cosine:.3f}), not far before {second}"
