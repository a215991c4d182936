"""Scores of style transfer: pure functions of unit features from one named CLIP.

Symbols, each (batch, dim) with unit rows: i generated image, s style reference, n content prompt
("A <content>"), p text prompt. A row of zeros is allowed everywhere: its cosines are 0, never NaN.
All sums run in float64: the published leakage score divides by cosines that may be small.
Published scores: Zhu et al., "Less is More", ICLR 2025, arXiv 2502.07466.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# Below this a cosine between reference and content says nothing: dividing by it would give any number at all.
_SMALLEST_COSINE = 1e-6


class UnitFeatures(NamedTuple):
    """Unit features of generated pictures beside what they are compared with; i, s, n, p of the formulas."""

    generated: Tensor  # (batch, dim) i
    reference: Tensor  # (batch, dim) s
    content: Tensor  # (batch, dim) n
    prompt: Tensor  # (batch, dim) p


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of matching rows of two sets of unit features (batch, dim), as (batch,) float64, in [-1, 1].

    Raises:
        ValueError: the shapes differ, or a feature is not finite: no comparison with it is true, which would look like
            a picture that does not leak.
    """
    if a.shape != b.shape:
        raise ValueError(
            "`a` and `b` must have the same shape (batch, dim) to be compared row by row, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}: take both from the same judge and repeat rows that "
            "several pictures share."
        )
    cosines = (_exact(a) * _exact(b)).sum(dim=-1)
    if not cosines.isfinite().all():
        raise ValueError(
            "`a` and `b` must be finite, and there are NaN or infinities among the features that are compared: the "
            "judge's weights are damaged, or its precision is too low."
        )
    return cosines


def feature_scores(features: UnitFeatures) -> dict[str, Tensor]:
    """Tag -> score (batch,) of every judge that reads texts, wherever pictures are scored; cosines in [-1, 1].

    A picture has leaked that is nearer to the reference's content than to its prompt, i.n > i.p. The published
    leakage score, lower is better, is undefined where |s.n| < 1e-6 and counts as 1 there, as a leaked picture does.
    """
    i, s, n, p = features
    i_s, i_n, i_p, s_n = cosine(i, s), cosine(i, n), cosine(i, p), cosine(s, n)
    leaked = i_n > i_p
    is_defined = ~leaked & (s_n.abs() >= _SMALLEST_COSINE)
    return {
        "alignment/text": i_p,
        "alignment/image": i_s,
        "alignment/content": i_n,
        "alignment/style_difference": i_s - i_n,
        "leakage/leaked": leaked,
        "published/fidelity": ~leaked,
        "published/style_score": (i_s - i_n).where(~leaked, 0.0),
        "published/leakage_score": (i_n / s_n.where(is_defined, 1.0)).where(is_defined, 1.0),
    }


def leaked_among(features: UnitFeatures, contents: Tensor) -> Tensor:
    """Whether n is nearer to the picture than p and than every other content, as bool (batch,).

    Stricter than a leak, which a picture of neither content passes by chance. `contents` (contents, dim)
    are the unit features of all content prompts; n may be among them.
    """
    i, _, n, p = features
    nearest_content = (_exact(i) @ _exact(contents).T).amax(dim=-1)
    # The judge may have encoded n anew, in another batch, which changes its last float32 bits: allow for that.
    return (cosine(i, n) > cosine(i, p)) & (cosine(i, n) >= nearest_content - 1e-6)


def diversity(generated: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """1 - mean cosine of each picture with the others of its group; 0 where all of them are the same picture.

    `generated` (images, dim) are unit features; `groups` (images,) int64 is the same number for the samples of one
    reference and prompt (and content image). Returns the values (kept,) float64 of the pictures that are not alone
    in their group, and `has_sibling` (images,) bool, which tells whose they are: those alone have no value.
    """
    unit = _exact(generated)
    _, inverse, counts = groups.detach().cpu().unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), unit.shape[1], dtype=torch.float64).index_add(0, inverse, unit)
    siblings = counts[inverse] - 1
    has_sibling = siblings > 0
    to_others = cosine(unit, sums[inverse]) - cosine(unit, unit)
    return 1 - to_others[has_sibling] / siblings[has_sibling], has_sibling


def _exact(features: Tensor) -> Tensor:
    """In float64, on the CPU: not every accelerator has float64."""
    return features.detach().cpu().double()
