"""What 2-means masking drops: the products of reference and content word, as a file and as a figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batches import Reference
from datamodules.files import write_text
from datamodules.reading import read_bytes, reading
from datamodules.style_references import StyleReferences
from lightning_modules.conditions.masking import feature_products, two_means_threshold
from lightning_modules.style_transfer import StyleTransfer
from scripts.report.tradeoff import FAINT, INK, dress

FILE = "masks.json"
_KEPT, _DROPPED = "#2380c9", "#d55e00"
_LEVELS = ("high level", "middle level", "low level")  # of StyleShot's encoder
_WIDTH, _HEIGHT = 4.5, 2.3  # inches, of one level
_FONT = 9.0


class MaskProfile(NamedTuple):
    """The products q = e_hat * t_hat of one reference with its content word, one row a level, and what is dropped."""

    reference: str  # its key
    reference_path: str
    content: str
    products: list[list[float]]  # (levels, dim), in the order of the feature's elements
    thresholds: list[float]  # (levels,): what is larger is dropped
    settings: dict[str, Any]  # of the networks that the features come from

    @property
    def words(self) -> str:
        """How much is dropped: "59 of 256 elements are dropped (23.0 %)", for each level."""
        told = []
        for name, row, threshold in zip(self.names, self.products, self.thresholds, strict=True):
            dropped = sum(product > threshold for product in row)
            share = f"{dropped} of {len(row)} elements are dropped ({100 * dropped / len(row):.1f}\u00a0%)"
            told.append(f"{name}: {share}" if name else share)
        return "; ".join(told)

    @property
    def names(self) -> Sequence[str]:
        """Of the levels; "" where there are not three."""
        return _LEVELS if len(self.products) == len(_LEVELS) else [""] * len(self.products)


def write_profiles(
    module: StyleTransfer, datamodule: StyleReferences, folder: Path, references: Sequence[Reference]
) -> Path:
    """Write `masks.json` of some references of the test set to `folder`; the networks of `module` must be loaded."""
    tests, found = datamodule.test_set, []
    vocabulary = datamodule.words_for(tests)
    for reference in references:
        feature = module.model.encode_images([tests.image(reference.index)])
        words = module.generator.find_words([reference], vocabulary, {reference: feature}.__getitem__)
        named = reference.named({key: each.word for key, each in words.items()})
        found.append(profile_of(module, named, feature, tests.source(reference.index).name))
    write_text(folder / FILE, json.dumps([profile._asdict() for profile in found]) + "\n")
    return folder / FILE


def profile_of(module: StyleTransfer, reference: Reference, feature: Tensor, place: str) -> MaskProfile:
    """The profile of a reference with its word and image feature `(1, ...)`, whose image lies at `place`."""
    content = module.model.encode_contents([module.sampling.content_text(reference.word)])
    products = feature_products(feature, content)
    rows = products.reshape(-1, products.shape[-1])
    thresholds = two_means_threshold(rows).flatten().tolist()
    settings = {"backbone": module.settings["backbone"]}
    return MaskProfile(reference.key, place, reference.word, rows.tolist(), thresholds, settings)


def read_profiles(folder: Path) -> list[MaskProfile]:
    """The profiles in `folder`, none without a `masks.json`; ValueError where `write_profiles` did not write it."""
    path = folder / FILE
    if not path.is_file():
        return []
    with reading(path, "folder", "Delete it, or write it again."):
        return [MaskProfile(**profile) for profile in json.loads(read_bytes(path))]


def draw_profile(profile: MaskProfile) -> Figure:
    """For each level its sorted products with what is dropped shaded, above its elements in their own order."""
    count = len(profile.products)
    figure = Figure(figsize=(_WIDTH, _HEIGHT * count))
    panels = figure.subfigures(count, 1, squeeze=False)[:, 0]
    for name, row, threshold, panel in zip(profile.names, profile.products, profile.thresholds, panels, strict=True):
        curve, strip = panel.add_axes((0.15, 0.42, 0.835, 0.47)), panel.add_axes((0.15, 0.21, 0.835, 0.1))
        _draw_sorted(curve, np.sort(row), threshold)
        _draw_strip(strip, np.array(row) > threshold)
        curve.set_title(name.capitalize(), loc="left", fontsize=_FONT, color=INK)
        for axis in (curve, strip):
            axis.set_xlim(0.5, len(row) + 0.5)
            dress(axis, _FONT - 1)
    return figure


def _draw_sorted(axis: Axes, ordered: NDArray[np.float64], threshold: float) -> None:
    kept, places = int((ordered <= threshold).sum()), np.arange(1, len(ordered) + 1)
    axis.axhline(0, color=INK, linewidth=0.5, alpha=0.5)
    axis.axhline(threshold, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    axis.axvspan(kept + 0.5, len(ordered) + 0.5, color=_DROPPED, alpha=0.18, linewidth=0)
    for colour, part in ((_KEPT, slice(kept)), (_DROPPED, slice(max(kept - 1, 0), None))):
        axis.plot(places[part], ordered[part], color=colour, linewidth=1.8)
    axis.annotate("threshold", (1, threshold), (2, 3), textcoords="offset points", fontsize=_FONT - 1, color=INK)
    axis.set_ylabel("product", fontsize=_FONT, color=INK)
    axis.grid(axis="y", color=FAINT, linewidth=0.6)


def _draw_strip(axis: Axes, dropped: NDArray[np.bool_]) -> None:
    axis.axhspan(0, 1, color=_KEPT, alpha=0.35, linewidth=0)
    axis.broken_barh([(place + 0.5, 1) for place in np.flatnonzero(dropped)], (0, 1), color=_DROPPED, linewidth=0)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_ylabel("own\norder", fontsize=_FONT - 1, color=INK, rotation=0, ha="right", va="center")
    axis.set_xlabel(f"{len(dropped)} elements: kept blue, dropped orange", fontsize=_FONT, color=INK)
