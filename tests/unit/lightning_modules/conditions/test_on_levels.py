"""StyleShot, and methods on some of its levels."""

import pytest
import torch
from torch import Tensor

from lightning_modules.adapters import ImageAdapter
from lightning_modules.conditions import (
    Adapted,
    Condition,
    InstantStyle,
    Masking,
    OnLevels,
    QuantileMasking,
    StyleShot,
)
from lightning_modules.conditions.checks import LEVELS
from lightning_modules.conditions.on_levels import Level
from lightning_modules.styleshot import encoder

METHODS: list[Condition] = [Masking(), QuantileMasking(), InstantStyle(0.7, norm_matched=True), StyleShot()]
ALL: list[Level] = ["high", "middle", "low"]
DIM = 16

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    """e (4, 3, dim) and t (4, dim), in float64."""
    generator = torch.Generator().manual_seed(0)
    e, t = (torch.randn(4, levels, DIM, generator=generator, dtype=torch.float64) for levels in (3, 1))
    return e, t[:, 0]


def test_styleshot_passes_its_features_on(features: tuple[Tensor, Tensor]) -> None:
    e, _ = features
    assert StyleShot()(e).feature is e
    assert StyleShot()(e)[1:] == (None, None)
    assert (StyleShot().name, StyleShot().settings) == ("styleshot", {})


def test_the_levels_are_those_of_the_encoder() -> None:
    assert LEVELS == encoder.LEVELS == tuple(ALL)


@every_method
def test_on_all_levels_it_is_the_method_itself(method: Condition, features: tuple[Tensor, Tensor]) -> None:
    for ours, expected in zip(OnLevels(method, ALL)(*features), method(*features), strict=True):
        assert ours is expected or torch.equal(ours, expected)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("method", METHODS[:3], ids=lambda method: method.name)
def test_one_level_is_edited_as_if_alone(method: Condition, place: int, features: tuple[Tensor, Tensor]) -> None:
    e, t = features
    v, keep_mask, share_masked = OnLevels(method, [ALL[place]])(e, t)
    alone = method(e[:, place], t)
    others = [level for level in range(3) if level != place]
    assert torch.equal(v[:, place], alone.feature)
    assert torch.equal(v[:, others], e[:, others])
    assert not torch.equal(v[:, place], e[:, place])
    if alone.keep_mask is None:
        assert keep_mask is share_masked is None
    else:
        assert torch.equal(keep_mask[:, place], alone.keep_mask)
        assert keep_mask[:, others].all()
        assert torch.equal(share_masked[:, place], alone.share_masked)
        assert not share_masked[:, others].any()
        assert (share_masked.dtype, share_masked.shape) == (torch.float32, (4, 3))


def test_two_levels_and_one_text_for_all_rows(features: tuple[Tensor, Tensor]) -> None:
    e, t = features
    before = e.clone()
    v = OnLevels(Masking(), ["low", "high"])(e, t[:1]).feature
    expected = Masking()(e, t[:1].expand(4, -1)).feature
    assert torch.equal(v[:, [0, 2]], expected[:, [0, 2]])
    assert torch.equal(v[:, 1], e[:, 1])
    assert torch.equal(e, before), "the encoded features serve other methods too"


def test_half_precision(features: tuple[Tensor, Tensor]) -> None:
    e, t = (feature.half() for feature in features)
    v = OnLevels(InstantStyle(norm_matched=True), ["low"])(e, t).feature
    assert v.dtype == torch.float16
    assert torch.equal(v[:, 2], InstantStyle(norm_matched=True)(e[:, 2], t).feature)


def test_name_and_settings_do_not_depend_on_the_order() -> None:
    first, second = OnLevels(QuantileMasking(0.8), ["low", "middle"]), OnLevels(QuantileMasking(0.8), ["middle", "low"])
    assert first.name == second.name == "quantile_masking_on_middle_low"
    assert first.settings == second.settings
    assert first.settings == {"levels": "middle, low", "on_levels": "quantile_masking", "theta": 0.8, "drop": "high"}


@pytest.mark.parametrize("shape", [(2, 8), (2, 2, 8)])
@pytest.mark.parametrize("method", [StyleShot(), OnLevels(Masking(), ["low"])], ids=lambda method: method.name)
def test_features_without_levels(method: Condition, shape: tuple[int, ...]) -> None:
    expected = r"`image_feature` must have StyleShot's levels for \w+, \(batch, 3, dim\), got \(2, .*8\). Name StyleSh"
    with pytest.raises(ValueError, match=expected):
        method(torch.zeros(shape), torch.zeros(2, 8))


@pytest.mark.parametrize("levels", [[], ["low", "low"], ["top"]])
def test_wrong_levels(levels: list[Level]) -> None:
    with pytest.raises(ValueError, match=r"`levels` must name one or more of high, middle, low, each once; got \["):
        OnLevels(Masking(), levels)


@pytest.mark.parametrize("inner", [Adapted(ImageAdapter(8)), OnLevels(Masking(), ["low"])])
def test_methods_that_cannot_act_on_a_level(inner: Condition) -> None:
    with pytest.raises(ValueError, match=rf"`condition` must be a method .*got {type(inner).__name__}. Give an adap"):
        OnLevels(inner, ["high"])
