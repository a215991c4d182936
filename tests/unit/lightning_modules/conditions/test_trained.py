from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

from lightning_modules.adapters import Adapter, ImageAdapter, TextAdapter
from lightning_modules.conditions import Adapted
from lightning_modules.conditions.trained import TrainedAdapter, adapter_bytes, read_adapter
from tests import float64

ADAPTERS = [ImageAdapter(6), TextAdapter(6, 4), TextAdapter(6, 6)]


def lightning_checkpoint(adapter: Adapter) -> dict[str, Any]:
    state = {f"condition.adapter.{key}": tensor for key, tensor in adapter.state_dict().items()}
    return {"state_dict": state, "adapter": {"kind": adapter.kind, **adapter.settings}, "epoch": 3}


def assert_same(read: Adapter, written: Adapter) -> None:
    assert type(read) is type(written)
    torch.testing.assert_close(dict(read.state_dict()), dict(written.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_lightning_checkpoint(adapter: Adapter, tmp_path: Path) -> None:
    torch.save(lightning_checkpoint(adapter), tmp_path / "step=4.ckpt")
    assert_same(read_adapter(tmp_path / "step=4.ckpt"), adapter)


@pytest.mark.parametrize("prefix", ["", "module.adapter."])
@pytest.mark.parametrize("adapter", ADAPTERS[:2])
def test_tensors_without_a_record_are_told_apart_by_their_sizes(adapter: Adapter, prefix: str, tmp_path: Path) -> None:
    state = {f"{prefix}{key}": tensor for key, tensor in adapter.state_dict().items()}
    save_file(state, tmp_path / "adapter.safetensors")
    torch.save(state, tmp_path / "pytorch_model.bin")
    for name in ("adapter.safetensors", "pytorch_model.bin"):
        assert_same(read_adapter(tmp_path / name), adapter)


def test_trained_adapter_is_adapted_with_frozen_weights(tmp_path: Path) -> None:
    adapter = ADAPTERS[0]
    (tmp_path / "adapter.safetensors").write_bytes(adapter_bytes(adapter))
    trained = TrainedAdapter(str(tmp_path / "adapter.safetensors"), strength=0.4, rescale=False)
    e = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trained(e).feature, Adapted(adapter, 0.4, rescale=False)(e).feature)
    assert trained.name == "image_adapter"
    assert not any(parameter.requires_grad for parameter in trained.parameters())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_exported_file_says_what_it_is(adapter: Adapter, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(adapter_bytes(adapter, {"strength": "0.5", "kind": "wrong"}))
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        sizes = {"dim": "6", "text_dim": str(adapter.proj.in_features)}
        expected = sizes if isinstance(adapter, TextAdapter) else {"dim": "6"}
        assert file.metadata() == {"kind": adapter.kind, "strength": "0.5", **expected}
    assert_same(read_adapter(tmp_path / "a.safetensors"), adapter)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("in_dim", [1024, 768])
def test_files_of_the_original_training_code(name: str, in_dim: int, tmp_path: Path) -> None:
    """They hold the adapter alone, as accelerate saves a model: D is 1024, and the text's hidden states have 768."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1024, in_dim, generator=generator)
    bias, scale, shift = (torch.randn(1024, generator=generator) for _ in range(3))
    state = {"proj.weight": weight, "proj.bias": bias, "norm.weight": scale, "norm.bias": shift}
    save_file(state, tmp_path / name) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
    trained = TrainedAdapter(str(tmp_path / name))
    assert trained.name == {1024: "image_adapter", 768: "text_adapter"}[in_dim]
    weight, bias, scale, shift = (each.double() for each in (weight, bias, scale, shift))
    e, states = (torch.randn(shape, generator=generator).double() for shape in ((2, 1024), (2, 77, 768)))
    x = e if in_dim == 1024 else states.mean(dim=1)
    f = functional.layer_norm(x @ weight.T + bias, (1024,), scale, shift)
    expected = e - e.norm(dim=-1, keepdim=True) / f.norm(dim=-1, keepdim=True) * f
    float64.assert_same(trained.double()(e, text_states=states).feature, expected)


def test_half_precision_files_are_read_as_float32(tmp_path: Path) -> None:
    save_file({k: v.half() for k, v in ADAPTERS[0].state_dict().items()}, tmp_path / "a.safetensors")
    assert read_adapter(tmp_path / "a.safetensors").proj.weight.dtype == torch.float32


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`checkpoint` names no file: .*no.ckpt.* Expected a checkpoint"):
        read_adapter(tmp_path / "no.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no tensors here", r"`checkpoint` cannot be read: .*a.bin' is damaged.* `torch.save`"),
        ({"proj.weight": Path("x")}, "without other Python objects"),
        ({**ADAPTERS[0].state_dict(), "proj.extra": torch.zeros(1)}, r"unknown \['proj.extra'\]"),
        *(
            (content, r"`checkpoint` holds no adapter: .*a.bin.* Expected proj.weight")
            for content in (
                {},
                {"state_dict": {"unet.weight": torch.zeros(1)}},
                {"proj.weight": torch.zeros(2)},
                {"epoch": 3},
            )
        ),
    ],
)
def test_files_that_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        read_adapter(path)
