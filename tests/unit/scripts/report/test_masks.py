"""Mask profiles: the same mask as the method's, written, read and drawn."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.batches import Reference
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import SamplingSettings
from scripts.report import masks
from scripts.report.masks import MaskProfile, draw_profile, read_profiles, write_profiles

REFERENCE = Reference(1, "dog/dog/a-dog-in-lego toy_0", "dog", "lego toy", "1d")
PROFILE = MaskProfile("a", "a.png", "dog", [[0.5, -0.1, 0.1, 0.4]], [0.1], {})


class _Features:
    """Networks that return fixed features."""

    def __init__(self, levels: int | None) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (1, 32) if levels is None else (1, levels, 32)
        self.image, self.text = torch.randn(shape, generator=generator), torch.randn(1, 32, generator=generator)

    def encode_images(self, images: list[Image.Image]) -> Tensor:
        assert [image.size for image in images] == [(8, 8)]
        return self.image

    def encode_contents(self, contents: list[str]) -> Tensor:
        assert contents == ["dog"]
        return self.text


class _Tests:
    def image(self, index: int) -> Image.Image:
        assert index == 1
        return Image.new("RGB", (8, 8))

    def source(self, index: int) -> Any:
        return SimpleNamespace(name="data/a dog.png")


@pytest.mark.parametrize("levels", [None, 3])
def test_what_lies_above_the_threshold_is_what_masking_drops(tmp_path: Path, levels: int | None) -> None:
    features, datamodule = _Features(levels), SimpleNamespace(test_set=_Tests(), words_for=lambda _: [])
    settings = {"backbone": {"model": "miniature"}}
    generator = SimpleNamespace(find_words=lambda *_: {})  # for no content is to be found
    module: Any = SimpleNamespace(model=features, sampling=SamplingSettings(), settings=settings, generator=generator)
    assert write_profiles(module, cast(Any, datamodule), tmp_path, [REFERENCE]) == tmp_path / "masks.json"
    [profile] = read_profiles(tmp_path)
    keep_mask = Masking()(features.image, features.text).keep_mask
    kept = torch.tensor(profile.products) <= torch.tensor(profile.thresholds)[:, None]
    assert keep_mask is not None and torch.equal(kept, keep_mask.reshape(levels or 1, 32))
    assert all(f"{int(row.sum())} of 32 elements" in profile.words for row in ~kept)
    assert profile[:3] == (REFERENCE.key, "data/a dog.png", "dog")


def test_shares_in_words() -> None:
    assert PROFILE.words == "2 of 4 elements are dropped (50.0\u00a0%)"
    three = PROFILE._replace(products=PROFILE.products * 3, thresholds=[0.1, 0.4, 0.6])
    assert three.words.startswith("high level: 2 of 4 elements are dropped (50.0\u00a0%); middle level: 1 of 4")


@pytest.mark.parametrize("levels", [1, 3])
def test_the_figure_shows_the_sorted_products_and_the_elements_in_their_own_order(levels: int) -> None:
    figure = draw_profile(PROFILE._replace(products=PROFILE.products * levels, thresholds=[0.1] * levels))
    assert len(figure.axes) == 2 * levels
    curve, strip = figure.axes[:2]
    drawn = [line.get_ydata() for line in curve.lines]
    assert [0.1, 0.1] in [list(values) for values in drawn]
    assert [-0.1, 0.1] in [list(values) for values in drawn] and [0.1, 0.4, 0.5] in [list(values) for values in drawn]
    [dropped] = strip.collections
    assert [path.get_extents().x0 for path in dropped.get_paths()] == [0.5, 3.5]


def test_a_folder_without_profiles_has_none_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_profiles(tmp_path) == []
    (tmp_path / masks.FILE).write_text(json.dumps([{"reference": "a"}]))
    with pytest.raises(ValueError, match=r"masks.json' is damaged, .* Delete it, or write it again"):
        read_profiles(tmp_path)
