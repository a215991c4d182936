"""All conditions: what each computes, what all have in common, and what they refuse."""

from typing import Any, get_args

import numpy
import pytest
import torch
from torch import Tensor

from lightning_modules.adapters import Adapter, ImageAdapter, TextAdapter
from lightning_modules.conditions import (
    Adapted,
    Condition,
    InstantStyle,
    IPAdapter,
    Masking,
    OnLevels,
    QuantileMasking,
    StyleShot,
    subtract_content,
)
from lightning_modules.conditions.subtraction import LEVELS, Level
from lightning_modules.styleshot import encoder
from tests.float64 import assert_same

DIM, TEXT_DIM = 60, 7


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 5


def adapters() -> list[Adapter]:
    torch.manual_seed(0)
    return [ImageAdapter(DIM).double(), TextAdapter(DIM, TEXT_DIM).double()]


MASKINGS = [Masking(), Masking(n_clusters=3, n_init=2), QuantileMasking(0.7), QuantileMasking(0.6, drop="low")]
STYLES = [InstantStyle(0.8), InstantStyle(0.8, norm_matched=True)]
ADAPTED = [Adapted(adapter, 0.7, rescale) for adapter in adapters() for rescale in (True, False)]
TEXT_METHODS: list[Condition] = [*STYLES, *MASKINGS]
ALL_METHODS: list[Condition] = [*TEXT_METHODS, IPAdapter(), *ADAPTED]

every_method = pytest.mark.parametrize("method", ALL_METHODS, ids=str)
every_text_method = pytest.mark.parametrize("method", TEXT_METHODS, ids=str)
every_adapter = pytest.mark.parametrize("adapter", adapters(), ids=lambda adapter: adapter.name)


def told(rows: int) -> tuple[Tensor, Tensor]:
    """A text feature and hidden states for each row."""
    return features(rows, DIM, seed=99), features(rows, 5, TEXT_DIM, seed=1)


def assert_equal(ours: Any, expected: Any) -> None:
    """The same features to rounding, and the same masks."""
    assert_same(ours[0], expected[0])
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(ours[1:], expected[1:], strict=True))


@every_method
@torch.no_grad()
def test_a_row_alone_and_a_level_alone_are_as_among_others(method: Condition) -> None:
    e, (t, states) = features(4, 3, DIM), told(4)
    whole = method(e, t, states)
    assert whole.feature.shape == e.shape
    for row in range(4):
        alone = method(e[[row]], t[[row]], states[[row]])
        assert_equal(alone, [None if part is None else part[[row]] for part in whole])
    for level in range(3):
        assert_equal(method(e[:, level], t, states), [None if part is None else part[:, level] for part in whole])


@every_method
@torch.no_grad()
def test_one_content_word_serves_the_whole_batch(method: Condition) -> None:
    e, (t, states) = features(3, DIM), told(1)
    assert_equal(method(e, t, states), method(e, t.expand(3, -1), states.expand(3, -1, -1)))


@every_text_method
def test_permutation_equivariance(method: Condition) -> None:
    e, t = features(4, DIM), told(4)[0]
    order = torch.randperm(DIM, generator=torch.Generator().manual_seed(2))
    assert_same(method(e[:, order], t[:, order]).feature, method(e, t).feature[:, order])


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@torch.no_grad()
def test_dtype_of_the_image_feature_is_kept(method: Condition, dtype: torch.dtype) -> None:
    feature, _, share_masked = method(features(2, DIM).to(dtype), *(part.to(dtype) for part in told(2)))
    assert feature.dtype == dtype
    assert share_masked is None or share_masked.dtype == torch.float32


def test_the_image_feature_as_it_is() -> None:
    e = features(2, 3, DIM)
    for method, name in ((IPAdapter(), "ip_adapter"), (StyleShot(), "styleshot")):
        conditioned = method(e)
        assert conditioned.feature is e and conditioned[1:] == (None, None)
        assert (method.name, method.settings) == (name, {})


def norm(x: Tensor) -> numpy.ndarray:
    return numpy.linalg.norm(x.double().numpy(), axis=-1, keepdims=True)


@pytest.mark.parametrize("strength", [1.0, 0.4, -0.5])
def test_the_text_feature_is_subtracted(strength: float) -> None:
    e, t = features(3, 16), features(3, 16, seed=1) / 100
    assert_same(InstantStyle(strength)(e, t).feature.numpy(), e.numpy() - strength * t.numpy())
    v = InstantStyle(strength, norm_matched=True)(e, t).feature
    assert_same(v.numpy(), e.numpy() - strength * norm(e) / norm(t) * t.numpy())
    assert_same(norm(e - v), abs(strength) * norm(e))
    assert torch.equal(InstantStyle(0.0, norm_matched=True)(e, t).feature, e)


def test_zero_image_feature_of_instantstyle() -> None:
    e, t = torch.zeros(1, 8, dtype=torch.float64), features(1, 8)
    assert torch.equal(InstantStyle(0.5)(e, t).feature, -0.5 * t)
    assert torch.equal(InstantStyle(0.5, norm_matched=True)(e, t).feature, e)


@pytest.mark.parametrize("norm_matched", [False, True])
def test_zero_content_subtracts_nothing_and_has_a_finite_gradient(norm_matched: bool) -> None:
    e, c = features(2, 8), torch.zeros(2, 8, requires_grad=True)
    v = subtract_content(e, c, 1.0, norm_matched)
    v.sum().backward()
    assert torch.equal(v.detach(), e)
    assert c.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_norms_do_not_overflow(dtype: torch.dtype) -> None:
    e, c = (features(2, 64) * 2000).to(dtype), features(2, 64, seed=1)
    expected = subtract_content(e.double(), c.double(), 0.5, norm_matched=True)
    assert_same(subtract_content(e, c, 0.5, norm_matched=True), expected, max(torch.finfo(dtype).eps, 1e-9))


@every_adapter
@pytest.mark.parametrize("strength", [1.0, 0.3, 0.0])
def test_the_adapters_prediction_is_subtracted(adapter: Adapter, strength: float) -> None:
    e, states = features(3, DIM), told(3)[1]
    f = adapter(e, states)
    v = Adapted(adapter, strength)(e, text_states=states).feature
    assert_same(v, e - strength * e.norm(dim=-1, keepdim=True) / f.norm(dim=-1, keepdim=True) * f)
    published = Adapted(adapter, strength, rescale=False)(e, text_states=states).feature
    assert_same(published, e - strength * f)
    assert strength or torch.equal(v, e)


@every_adapter
def test_zero_image_feature_of_an_adapter(adapter: Adapter) -> None:
    e, states = torch.zeros(3, DIM, dtype=torch.float64), told(3)[1]
    assert torch.equal(Adapted(adapter)(e, text_states=states).feature, e)
    published = Adapted(adapter, 0.5, rescale=False)(e, text_states=states).feature
    assert_same(published, -0.5 * adapter(e, states))
    assert published.norm() > 0


@pytest.mark.parametrize("method", ADAPTED, ids=str)
def test_gradient_reaches_the_adapter_and_nothing_else(method: Adapted) -> None:
    e, states = features(3, DIM), told(3)[1]
    method.zero_grad()
    conditioned = method(e, text_states=states)
    (conditioned.feature * features(3, DIM, seed=2)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters()}
    names = ["adapter.proj.weight", "adapter.proj.bias", "adapter.norm.weight", "adapter.norm.bias"]
    assert list(gradients) == names
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients.values())
    assert [e.grad, states.grad, conditioned.keep_mask, conditioned.share_masked] == [None] * 4


def test_half_precision_features_with_a_float32_adapter() -> None:
    adapter, e, states = ImageAdapter(DIM), features(3, DIM).float(), told(3)[1].float()
    v = Adapted(adapter)(e.half(), text_states=states.half()).feature
    assert_same(v, Adapted(adapter)(e, text_states=states).feature, 4 * torch.finfo(torch.float16).eps)


def test_the_levels_are_those_of_the_encoder() -> None:
    assert LEVELS == encoder.LEVELS == get_args(Level)


LEVEL_METHODS: list[Condition] = [Masking(), QuantileMasking(), InstantStyle(0.7, norm_matched=True), IPAdapter()]


@pytest.mark.parametrize("levels", [LEVELS, ("low", "high"), *((level,) for level in LEVELS)])
@pytest.mark.parametrize("method", LEVEL_METHODS, ids=str)
def test_chosen_levels_are_edited_and_the_others_kept(method: Condition, levels: tuple[Level, ...]) -> None:
    e, t = features(4, 3, DIM), told(1)[0]
    before = e.clone()
    v, keep_mask, share_masked = OnLevels(method, list(levels))(e, t)
    whole = method(e, t)
    for place, level in enumerate(LEVELS):
        assert torch.equal(v[:, place], (whole.feature if level in levels else e)[:, place])
        if whole.keep_mask is None:
            assert keep_mask is share_masked is None
        elif level in levels:
            assert torch.equal(keep_mask[:, place], whole.keep_mask[:, place])
            assert torch.equal(share_masked[:, place], whole.share_masked[:, place])
        else:
            assert keep_mask[:, place].all() and not share_masked[:, place].any()
    assert torch.equal(e, before), "the encoded features serve other methods too"
    assert OnLevels(method, list(levels))(e.half(), t.half()).feature.dtype == torch.float16


@pytest.mark.parametrize(
    ("method", "name", "settings"),
    [
        (InstantStyle(0.2, norm_matched=True), "instantstyle", {"strength": 0.2, "norm_matched": True}),
        (Masking(), "masking", {"n_clusters": 2}),
        (Masking(3, n_init=4, seed=5), "masking", {"n_clusters": 3, "n_init": 4, "seed": 5}),
        (QuantileMasking(0.8, "low"), "quantile_masking", {"theta": 0.8, "drop": "low"}),
        (Adapted(ImageAdapter(6)), "image_adapter", {"dim": 6, "strength": 1.0, "rescale": True}),
        (
            Adapted(TextAdapter(6, 4), 0.5, rescale=False),
            "text_adapter",
            {"dim": 6, "text_dim": 4, "strength": 0.5, "rescale": False},
        ),
        *(
            (
                OnLevels(QuantileMasking(0.8), [*order]),  # type: ignore[list-item]
                "quantile_masking_on_middle_low",
                {"levels": "middle, low", "on_levels": "quantile_masking", "theta": 0.8, "drop": "high"},
            )
            for order in (("low", "middle"), ("middle", "low"))
        ),
    ],
)
def test_names_and_settings(method: Condition, name: str, settings: dict[str, Any]) -> None:
    assert (method.name, method.settings) == (name, settings)
    assert all(f"{key}={value!r}" in repr(method) for key, value in settings.items())


ONE, BROKEN = torch.ones(1, 4), torch.full((1, 4), torch.nan)
WITHOUT_LEVELS = r"`image_feature` must have StyleShot's levels for \w+, \(batch, 3, dim\), got \(2, .*8\). Name Style"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: QuantileMasking(0.0), r"`theta` must be in \(0, 1\).*got 0.0.*Use 0.7"),
        (lambda: QuantileMasking(1.0), r"`theta` must be in \(0, 1\).*got 1.0.*Use 0.7"),
        (lambda: QuantileMasking(-100.0), r"`theta` must be in \(0, 1\).*got .*Use 0.7"),
        (lambda: QuantileMasking(float("nan")), r"`theta` must be in \(0, 1\).*got .*Use 0.7"),
        (lambda: QuantileMasking(drop="top"), r'`drop` must be "high" or "low", got \'top\'. Use "high"'),
        (lambda: Masking(n_clusters=1), r"`n_clusters` must be 2 or more, got 1. Use 2"),
        (lambda: Masking()(BROKEN, ONE), r"`image_feature` must be finite, got NaN or infinity. Encode in float32"),
        (lambda: Masking()(ONE, -BROKEN / 0), r"`text_feature` must be finite, got NaN or infinity. Encode in float32"),
        (lambda: Adapted(TextAdapter(9, 4))(ONE, ONE, torch.ones(1, 2, 4)), r"size 4 of .*, got 9. Build .* dim=4"),
        (
            lambda: Adapted(TextAdapter(4, 4))(torch.ones(2, 4), None, torch.ones(3, 2, 4)),
            r"`text_states` must have the batch size 2 of .*, got 3. Give one content",
        ),
        (lambda: StyleShot()(torch.zeros(2, 8)), WITHOUT_LEVELS),
        (lambda: OnLevels(Masking(), ["low"])(torch.zeros(2, 2, 8), torch.zeros(2, 8)), WITHOUT_LEVELS),
        *(
            (
                lambda levels=levels: OnLevels(Masking(), levels),
                r"`levels` must name one or more of high, middle, low, ",
            )
            for levels in ([], ["low", "low"], ["top"])
        ),
        (lambda: OnLevels(ADAPTED[0], ["high"]), r"`condition` must be a method .*got Adapted. Give an adap"),
        (lambda: OnLevels(OnLevels(Masking(), ["low"]), ["high"]), r"`condition` must be .*got OnLevels. Give an adap"),
    ],
)
def test_what_cannot_be_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


FLOATING = "must be a floating-point tensor, got"


@every_method
@pytest.mark.parametrize(
    ("e", "message"),
    [
        (torch.zeros(8), r"must have the shape \(batch, dim\) or .*got .*8.*Add the"),
        (torch.zeros(2, 3, 4, 8), r"must have the shape \(batch, dim\) or .*got .*8.*Add the"),
        (torch.zeros(2, 8, dtype=torch.int64), f"{FLOATING} torch.int64. Pass"),
        ([torch.zeros(2, 1, 8)], f"{FLOATING} list. Pass the tensor"),
    ],
)
def test_image_features_that_are_refused(method: Condition, e: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"`image_feature` {message}"):
        method(e, torch.zeros(2, 8))


@every_text_method
@pytest.mark.parametrize(
    ("t", "message"),
    [
        (None, r"is missing: [A-Z]\w+ expected .* \(2, 8\), got None. Encode .*IPAdapter"),
        (torch.zeros(2, 8, dtype=torch.bool), f"{FLOATING} torch.bool. Pass"),
        (torch.zeros(8), r"must have the shape \(2, 8\) or \(1, 8\), got .*Give one row for each image"),
        (torch.zeros(3, 8), r"must have the shape \(2, 8\) or \(1, 8\), got .*Give one row for each image"),
        (torch.zeros(2, 1, 8), r"must have the shape \(2, 8\) or \(1, 8\), got .*Give one row for each image"),
        (torch.zeros(2, 6), "must have the size 8 of `image_feature`, got 6. Use text_embeds"),
    ],
)
def test_text_features_that_are_refused(method: Condition, t: Any, message: str) -> None:
    for e in (torch.zeros(2, 8), torch.zeros(2, 3, 8)):
        with pytest.raises(ValueError, match=f"`text_feature` {message}"):
            method(e, t)
