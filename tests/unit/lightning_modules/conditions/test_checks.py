"""What conditions say to features that they cannot use."""

import pytest
import torch
from torch import Tensor

from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import Adapted, Condition, InstantStyle, IPAdapter, Masking, QuantileMasking

TEXT_METHODS: list[Condition] = [InstantStyle(), Masking(), QuantileMasking()]
ALL_METHODS: list[Condition] = [*TEXT_METHODS, IPAdapter(), Adapted(ImageAdapter(8))]

every_method = pytest.mark.parametrize("method", ALL_METHODS, ids=lambda method: method.name)
every_text_method = pytest.mark.parametrize("method", TEXT_METHODS, ids=lambda method: method.name)


@every_method
@pytest.mark.parametrize("shape", [(8,), (2, 3, 4, 8)])
def test_rank_of_the_image_feature(method: Condition, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`image_feature` must have the shape \(batch, dim\) or .*got .*8.*Add the"):
        method(torch.zeros(shape), torch.zeros(2, 8))


@every_method
def test_dtype_of_the_image_feature(method: Condition) -> None:
    with pytest.raises(ValueError, match=r"`image_feature` must be a floating-point tensor, got torch.int64. Pass"):
        method(torch.zeros(2, 8, dtype=torch.int64), torch.zeros(2, 8))


@every_method
def test_image_feature_in_a_list(method: Condition) -> None:
    with pytest.raises(ValueError, match=r"`image_feature` must be a floating-point tensor, got list. Pass the tensor"):
        method([torch.zeros(2, 1, 8)], torch.zeros(2, 8))


@every_text_method
def test_missing_text_feature(method: Condition) -> None:
    name = type(method).__name__
    expected = rf"`text_feature` is missing: {name} expected .* \(2, 8\), got None. Encode .*IPAdapter"
    with pytest.raises(ValueError, match=expected):
        method(torch.zeros(2, 8))


@every_text_method
def test_dtype_of_the_text_feature(method: Condition) -> None:
    with pytest.raises(ValueError, match=r"`text_feature` must be a floating-point tensor, got torch.bool. Pass"):
        method(torch.zeros(2, 8), torch.zeros(2, 8, dtype=torch.bool))


@every_text_method
@pytest.mark.parametrize("text", [torch.zeros(8), torch.zeros(3, 8), torch.zeros(2, 1, 8)], ids=lambda t: str(t.shape))
def test_shape_of_the_text_feature(method: Condition, text: Tensor) -> None:
    expected = r"`text_feature` must have the shape \(2, 8\) or \(1, 8\), got .*Give one row for each image"
    for image_feature in (torch.zeros(2, 8), torch.zeros(2, 3, 8)):
        with pytest.raises(ValueError, match=expected):
            method(image_feature, text)


@every_text_method
def test_text_feature_of_another_tower(method: Condition) -> None:
    with pytest.raises(
        ValueError, match=r"`text_feature` must have the size 8 of `image_feature`, got 6. Use text_embeds"
    ):
        method(torch.zeros(2, 8), torch.zeros(2, 6))
