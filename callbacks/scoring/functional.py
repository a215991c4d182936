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


def text_alignment(features: UnitFeatures) -> Tensor:
    """i.p, as (batch,), in [-1, 1]."""
    return cosine(features.generated, features.prompt)


def image_alignment(features: UnitFeatures) -> Tensor:
    """i.s, as (batch,), in [-1, 1]."""
    return cosine(features.generated, features.reference)


def content_alignment(features: UnitFeatures) -> Tensor:
    """i.n, as (batch,), in [-1, 1]: how near each picture is to the reference's content, leaked or not."""
    return cosine(features.generated, features.content)


def leaked(features: UnitFeatures) -> Tensor:
    """i.n > i.p, as bool (batch,): the picture is nearer to the reference's content than to its prompt."""
    return content_alignment(features) > text_alignment(features)


def fidelity(features: UnitFeatures) -> Tensor:
    """Published fidelity, as bool (batch,): the picture has not leaked."""
    return ~leaked(features)


def leaked_among(features: UnitFeatures, contents: Tensor) -> Tensor:
    """Whether n is nearer to the picture than p and than every other content, as bool (batch,).

    Stricter than `leaked`, which a picture of neither content passes by chance. `contents` (contents, dim)
    are the unit features of all content prompts; n may be among them.
    """
    nearest_content = (_exact(features.generated) @ _exact(contents).T).amax(dim=-1)
    # The judge may have encoded n anew, in another batch, which changes its last float32 bits: allow for that.
    is_nearest = content_alignment(features) >= nearest_content - 1e-6
    return leaked(features) & is_nearest


def style_score(features: UnitFeatures) -> Tensor:
    """Published style score, as (batch,): i.(s - n) where not leaked, 0 where leaked."""
    return difference_to_content(features).where(~leaked(features), 0.0)


def difference_to_content(features: UnitFeatures) -> Tensor:
    """i.(s - n), as (batch,): the style score of every picture, leaked ones too."""
    return image_alignment(features) - content_alignment(features)


def leakage_score(features: UnitFeatures) -> Tensor:
    """Published leakage score, as (batch,), lower is better: (i.n)/(s.n) where not leaked, 1 where leaked.

    Where |s.n| < 1e-6 the ratio is undefined and counts as 1, as a leaked picture does.
    """
    reference_content = cosine(features.reference, features.content)
    defined = ~leaked(features) & (reference_content.abs() >= _SMALLEST_COSINE)
    ratio = content_alignment(features) / reference_content.where(defined, 1.0)
    return ratio.where(defined, 1.0)


def diversity(generated: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """1 - mean cosine of each picture with the others of its group; 0 where all of them are the same picture.

    `generated` (images, dim) are unit features; `groups` (images,) int64 is the same number for the samples of one
    reference and prompt (and content image). Returns the values (kept,) float64 of the pictures that are not alone
    in their group, and `has_sibling` (images,) bool, which tells whose they are: those alone have no value.
    """
    if generated.dim() != 2 or groups.shape != generated.shape[:1]:
        raise ValueError(
            "`generated` must have shape (images, dim) and `groups` (images,), got "
            f"{tuple(generated.shape)} and {tuple(groups.shape)}: give one group number for each picture."
        )
    unit = _exact(generated)
    _, inverse, counts = groups.detach().cpu().unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), unit.shape[1], dtype=torch.float64).index_add(0, inverse, unit)
    siblings = counts[inverse] - 1
    has_sibling = siblings > 0
    to_others = cosine(unit, sums[inverse]) - cosine(unit, unit)
    return 1 - to_others[has_sibling] / siblings[has_sibling], has_sibling


def agreement(predicted: Tensor, expected: Tensor) -> Tensor:
    """Whether a classifier's labels are the expected ones, as bool (batch,): of contents or of styles."""
    if predicted.shape != expected.shape or predicted.dim() != 1:
        raise ValueError(
            "`predicted` and `expected` must be label vectors (batch,) of one same length, got shapes "
            f"{tuple(predicted.shape)} and {tuple(expected.shape)}: take the argmax of the logits over classes."
        )
    return predicted == expected.to(predicted.device)


def _exact(features: Tensor) -> Tensor:
    """In float64, on the CPU: not every accelerator has float64."""
    return features.detach().cpu().double()
