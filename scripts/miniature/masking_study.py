"""Look into masking on the miniature: which elements it drops, and what content and style lose by each method."""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.scoring.clip_judge import ClipJudge
from datamodules.files import write_text
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, TEST_STYLES
from lightning_modules.conditions import Condition, InstantStyle, IPAdapter, Masking, QuantileMasking
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.miniature.training import FRESH_SEED
from scripts.paths import to_path
from scripts.stopping import stoppable

_log = logging.getLogger("study")
_ROTATIONS = 5
_LEFT = ("content recognised", "cosine with content", "cosine with style")
METHODS: dict[str, Condition] = {
    "IP-Adapter": IPAdapter(),
    **{f"InstantStyle, λ = {strength}": InstantStyle(strength) for strength in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)},
    "Masking, 2-means": Masking(),
    **{f"Masking, θ = {theta}": QuantileMasking(theta) for theta in (0.9, 0.7, 0.5)},
}


class Drawings(NamedTuple):
    """Features of drawings of every content in every style, and of the content words."""

    features: Tensor  # (contents, styles, drawings, dim)
    words: Tensor  # (contents, dim)

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """Features (images, dim), and the word of each image's content (images, dim)."""
        each = self.features.shape[1] * self.features.shape[2]
        return self.features.flatten(0, 2), self.words.repeat_interleave(each, dim=0)


def drawings(encode: Callable[[list[Image.Image]], Tensor], words: Tensor, each: int, first: int) -> Drawings:
    """Drawings that no network has been trained on, the first of them number `first`."""
    seeds = range(FRESH_SEED + first, FRESH_SEED + first + each)
    images = [draw(content, style, seed) for content in CONTENTS for style in TEST_STYLES for seed in seeds]
    features = torch.cat([encode(images[start : start + 100]) for start in range(0, len(images), 100)])
    return Drawings(features.double().reshape(len(CONTENTS), len(TEST_STYLES), each, -1), words.double())


def variance_shares(features: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the variance of each element (dim,) between contents, and between styles, of `Drawings.features`."""
    centred = features - features.mean((0, 1, 2))
    whole = (centred**2).mean((0, 1, 2))
    return (centred.mean((1, 2)) ** 2).mean(0) / whole, (centred.mean((0, 2)) ** 2).mean(0) / whole


def left(edited: Tensor, known: Drawings) -> tuple[float, float, float]:
    """What edited features (images, dim), in the order of `Drawings.rows`, still tell of their image.

    By the class means of the `known` drawings, which are others: the share of images whose content is the nearest of
    all contents, the mean cosine with the image's own content, and that with its own style; cosines are taken from the
    mean of all drawings.
    """
    contents, styles = known.features.mean((1, 2)), known.features.mean((0, 2))
    centre = known.features.mean((0, 1, 2))
    of_content = torch.arange(len(contents)).repeat_interleave(len(edited) // len(contents))
    each = len(edited) // (len(contents) * len(styles))
    of_style = torch.arange(len(styles)).repeat_interleave(each).repeat(len(contents))
    unit = normalize(edited - centre, dim=1)
    to_contents, to_styles = (unit @ normalize(means - centre, dim=1).T for means in (contents, styles))
    own = (cosines.gather(1, labels[:, None]) for cosines, labels in ((to_contents, of_content), (to_styles, of_style)))
    recognised = (to_contents.argmax(dim=1) == of_content).double()
    return float(recognised.mean()), *(float(cosines.mean()) for cosines in own)  # type: ignore[return-value]


def rotated(condition: Condition, rotation: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The method in another orthonormal basis of the same space."""
    return lambda feature, text: condition(feature @ rotation, text @ rotation).feature @ rotation.T


def rotations(dim: int) -> list[Tensor]:
    """Random orthonormal bases (dim, dim)."""
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(dim, dim, dtype=torch.float64, generator=generator) for _ in range(_ROTATIONS))
    return [torch.linalg.qr(matrix).Q for matrix in drawn]


def study(test: Drawings, known: Drawings) -> dict[str, dict[str, float]]:
    """What every method leaves of content and style, and, for masks, what they drop."""
    rows: dict[str, dict[str, float]] = {}
    features, words = test.rows
    content_share, style_share = variance_shares(known.features)
    for name, condition in METHODS.items():
        conditioned = condition(features, words)
        row = dict(zip(_LEFT, left(conditioned.feature, known), strict=True))
        if conditioned.keep_mask is not None:
            dropped = (~conditioned.keep_mask).double()
            bases = rotations(features.shape[1])
            turned = torch.tensor([left(rotated(condition, basis)(features, words), known) for basis in bases]).mean(0)
            row["dropped"] = float(dropped.mean())
            for kind, shares in (("content", content_share), ("style", style_share)):
                for which, mask in (("dropped", dropped), ("kept", 1 - dropped)):
                    row[f"{kind} share of {which}"] = float((mask * shares).sum() / mask.sum())
            row |= {f"{what}, other bases": float(value) for what, value in zip(_LEFT, turned, strict=True)}
        rows[name] = row
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """The rows in Markdown."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = (f"{row[column]:.3f}" if column in row else "" for column in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--each", type=int, default=5, help="drawings of each content in each style")
    parser.add_argument("--output", type=to_path, default=Path("outputs/miniature/masking_study.json"))
    found = parser.parse_args(arguments)
    model, judge = StableDiffusion.load(Backbone()), ClipJudge()
    results = {}
    for name, encode, texts in (
        ("conditioning CLIP", model.encode_images, model.encode_contents(list(CONTENTS))),
        ("judge CLIP", judge.image_features, judge.text_features(list(CONTENTS))),
    ):
        test, known = (drawings(encode, texts, found.each, first) for first in (0, found.each))
        results[name] = study(test, known)
        _log.info("%s, %d elements\n%s\n", name, test.words.shape[1], table(results[name]))
    write_text(found.output, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        main()
