"""The adapters against their formulas, their keys, and the loading of weights."""

import numpy
import pytest
import torch
from torch import Tensor

from lightning_modules.adapters import Adapter, ImageAdapter, TextAdapter, load_adapter_weights
from tests.float64 import assert_same

KEYS = ["proj.weight", "proj.bias", "norm.weight", "norm.bias"]


def features(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def randomise(adapter: Adapter) -> Adapter:
    generator = torch.Generator().manual_seed(1)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return adapter.double()


def by_hand(adapter: Adapter, x: Tensor) -> numpy.ndarray:
    """LayerNorm(W x + b) in numpy."""
    weight, bias, scale, shift = (adapter.state_dict()[key].double().numpy() for key in KEYS)
    h = x.double().numpy() @ weight.T + bias
    normalised = (h - h.mean(-1, keepdims=True)) / numpy.sqrt(h.var(-1, keepdims=True) + 1e-5)
    return normalised * scale + shift


@pytest.mark.parametrize("shape", [(3, 6), (3, 2, 6)])
def test_image_adapter(shape: tuple[int, ...]) -> None:
    adapter, e = randomise(ImageAdapter(6)), features(*shape)
    f = adapter(e, None)
    assert f.shape == shape
    assert_same(f.detach().numpy(), by_hand(adapter, e))


def test_text_adapter_takes_the_mean_over_the_tokens() -> None:
    adapter, states = randomise(TextAdapter(6, 4)), features(3, 5, 4)
    f = adapter(features(3, 6), states)
    assert f.shape == (3, 6)
    assert_same(f.detach().numpy(), by_hand(adapter, states.mean(dim=1)))
    assert_same(adapter(features(3, 6) + 1, states.flip(1)), f)


@pytest.mark.parametrize("adapter", [ImageAdapter(6), TextAdapter(6, 4)])
def test_keys_and_sizes(adapter: Adapter) -> None:
    sizes = {key: tuple(value.shape) for key, value in adapter.state_dict().items()}
    in_dim = 6 if isinstance(adapter, ImageAdapter) else 4
    assert sizes == {"proj.weight": (6, in_dim), "proj.bias": (6,), "norm.weight": (6,), "norm.bias": (6,)}
    assert [name for name, _ in adapter.named_parameters()] == KEYS


def test_settings_build_the_same_adapter() -> None:
    assert ImageAdapter(6).settings == {"dim": 6}
    assert TextAdapter(6, 4).settings == {"dim": 6, "text_dim": 4}
    assert (ImageAdapter(6).kind, TextAdapter(6, 4).kind) == ("ImageAdapter", "TextAdapter")


@pytest.mark.parametrize("make", [lambda: ImageAdapter(6), lambda: TextAdapter(6, 4)])
def test_weights_are_copied(make: type[Adapter]) -> None:
    source, target = randomise(make()), make()
    load_adapter_weights(target, source.state_dict(), kind=source.kind)
    assert all(torch.equal(target.state_dict()[key], source.state_dict()[key]) for key in KEYS)


@pytest.mark.parametrize(
    ("adapter", "given", "message"),
    [
        (ImageAdapter(6), (features(2, 8),), r"`image_feature` must have the last size 6, got .*\(2, 8\).*dim=8"),
        (TextAdapter(6, 4), (features(2, 6),), r"`text_states` is missing: .*, tokens, 4\), got None.*ImageAdapter"),
        *(
            (
                TextAdapter(6, 4),
                (features(2, 6), features(*shape)),
                r"`text_states` must have .*, 4\), got .*Pass the hid",
            )
            for shape in ((2, 4), (2, 5, 3))
        ),
    ],
)
def test_what_an_adapter_cannot_read(adapter: Adapter, given: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapter(*given)


def other(**changes: Tensor) -> dict[str, Tensor]:
    return {**ImageAdapter(6).state_dict(), **{key.replace("_", "."): tensor for key, tensor in changes.items()}}


@pytest.mark.parametrize(
    ("adapter", "state", "kind", "message"),
    [
        (
            ImageAdapter(6),
            TextAdapter(6, 4).state_dict(),
            None,
            r"`state` must fit ImageAdapter\(dim=6\), got weights of TextAdapter\(dim=6, text_dim=4\); "
            r"sizes that differ: proj.weight \(6, 4\). Configure the adapter that was",
        ),
        (
            TextAdapter(6, 4),
            other(),
            None,
            r"fit TextAdapter\(dim=6, text_dim=4\), got weights of ImageAdapter\(dim=6\)",
        ),
        (
            TextAdapter(6, 4),
            TextAdapter(8, 8).state_dict(),
            "TextAdapter",
            r"must fit TextAdapter\(dim=6, text_dim=4\), got weights of TextAdapter\(dim=8, text_dim=8\)",
        ),
        (
            ImageAdapter(6),
            TextAdapter(6, 6).state_dict(),
            "TextAdapter",
            "`kind` .* ImageAdapter, got TextAdapter. Conf",
        ),
        (ImageAdapter(6), other(proj_weight=torch.zeros(6)), None, r"weights of no adapter \(proj.weight \(6,\)\)"),
        (
            ImageAdapter(6),
            other(adapter_bias=torch.zeros(6)),
            None,
            r"exactly .*missing \[\], unknown .*ter.bias'\]. Strip",
        ),
    ],
)
def test_weights_of_another_adapter_leave_this_one_alone(
    adapter: Adapter, state: dict[str, Tensor], kind: str | None, message: str
) -> None:
    before = {key: value.clone() for key, value in adapter.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_adapter_weights(adapter, state, kind)
    assert all(torch.equal(adapter.state_dict()[key], before[key]) for key in KEYS)


def test_without_a_kind_sizes_that_coincide_do_not_tell() -> None:
    load_adapter_weights(ImageAdapter(6), TextAdapter(6, 6).state_dict())
