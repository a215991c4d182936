"""Adapted: both adapters, rescaling, zero features, the way of the gradient."""

import pytest
import torch
from torch import Tensor

from lightning_modules.adapters import Adapter, ImageAdapter, TextAdapter
from lightning_modules.conditions import Adapted
from tests.float64 import assert_same

DIM, TEXT_DIM = 12, 7


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 5


@pytest.fixture(params=["image", "text"])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    torch.manual_seed(0)
    return (ImageAdapter(DIM) if request.param == "image" else TextAdapter(DIM, TEXT_DIM)).double()


@pytest.fixture
def states() -> Tensor:
    return features(3, 5, TEXT_DIM, seed=1)


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_rescaled_to_the_norm_of_the_image_feature(adapter: Adapter, states: Tensor, strength: float) -> None:
    e = features(3, DIM)
    v = Adapted(adapter, strength)(e, text_states=states).feature
    f = adapter(e, states)
    assert_same(v, e - strength * e.norm(dim=-1, keepdim=True) / f.norm(dim=-1, keepdim=True) * f)


def test_published_training_subtracts_without_rescaling(adapter: Adapter, states: Tensor) -> None:
    e = features(3, DIM)
    v = Adapted(adapter, 0.5, rescale=False)(e, text_states=states).feature
    assert_same(v, e - 0.5 * adapter(e, states))


def test_zero_image_feature(adapter: Adapter, states: Tensor) -> None:
    e = torch.zeros(3, DIM, dtype=torch.float64)
    assert torch.equal(Adapted(adapter)(e, text_states=states).feature, e)
    published = Adapted(adapter, 0.5, rescale=False)(e, text_states=states).feature
    assert_same(published, -0.5 * adapter(e, states))
    assert published.norm() > 0


def test_strength_zero_is_the_identity(adapter: Adapter, states: Tensor) -> None:
    e = features(3, DIM)
    assert torch.equal(Adapted(adapter, 0.0)(e, text_states=states).feature, e)


@pytest.mark.parametrize("rescale", [True, False])
def test_levels_are_edited_one_by_one(adapter: Adapter, states: Tensor, rescale: bool) -> None:
    e = features(3, 2, DIM)
    method = Adapted(adapter, rescale=rescale)
    v = method(e, text_states=states).feature
    assert v.shape == e.shape
    for level in range(2):
        assert_same(v[:, level], method(e[:, level], text_states=states).feature)


def test_row_alone_equals_row_in_batch(adapter: Adapter, states: Tensor) -> None:
    e = features(3, DIM)
    v = Adapted(adapter)(e, text_states=states).feature
    for row in range(3):
        alone = Adapted(adapter)(e[[row]], text_states=states[[row]]).feature
        assert_same(alone[0], v[row])


def test_one_content_word_serves_the_whole_batch(states: Tensor) -> None:
    torch.manual_seed(0)
    method = Adapted(TextAdapter(DIM, TEXT_DIM)).double()
    e = features(3, DIM)
    expected = method(e, text_states=states[:1].expand(3, -1, -1)).feature
    assert_same(method(e, text_states=states[:1]).feature, expected)


@pytest.mark.parametrize("rescale", [True, False])
def test_gradient_reaches_the_adapter_and_nothing_else(adapter: Adapter, states: Tensor, rescale: bool) -> None:
    e = features(3, DIM)
    method = Adapted(adapter, rescale=rescale)
    conditioned = method(e, text_states=states)
    (conditioned.feature * features(3, DIM, seed=2)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters()}
    names = ["adapter.proj.weight", "adapter.proj.bias", "adapter.norm.weight", "adapter.norm.bias"]
    assert list(gradients) == names
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients.values())
    assert [e.grad, states.grad, conditioned.keep_mask, conditioned.share_masked] == [None] * 4


def test_half_precision_features_with_a_float32_adapter(adapter: Adapter, states: Tensor) -> None:
    adapter.float()
    e, states = features(3, DIM).float(), states.float()
    v = Adapted(adapter)(e.half(), text_states=states.half()).feature
    assert v.dtype == torch.float16
    assert_same(v, Adapted(adapter)(e, text_states=states).feature, 4 * torch.finfo(torch.float16).eps)


def test_names_and_settings() -> None:
    image, text = Adapted(ImageAdapter(DIM)), Adapted(TextAdapter(DIM, TEXT_DIM), 0.5, rescale=False)
    assert (image.name, text.name) == ("image_adapter", "text_adapter")
    assert image.settings == {"dim": DIM, "strength": 1.0, "rescale": True}
    assert text.settings == {"dim": DIM, "text_dim": TEXT_DIM, "strength": 0.5, "rescale": False}


def test_adapter_of_another_size(states: Tensor) -> None:
    method = Adapted(TextAdapter(DIM + 1, TEXT_DIM))
    with pytest.raises(ValueError, match=r"`adapter` must predict the size 12 of .*, got 13. Build .* dim=12"):
        method(features(3, DIM), text_states=states)


def test_states_of_another_batch(states: Tensor) -> None:
    method = Adapted(TextAdapter(DIM, TEXT_DIM)).double()
    with pytest.raises(ValueError, match=r"`text_states` must have the batch size 2 of .*, got 3. Give one content"):
        method(features(2, DIM), text_states=states)
