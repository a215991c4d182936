"""How the networks run: where they lie, in which layout and precision; the pictures are the same."""

from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.unet_inputs import check_precision
from tests.float64 import assert_same

pytestmark = pytest.mark.usefixtures("float64")

NETWORKS = ("unet", "vae", "prompt_encoder", "content_encoder", "image_encoder")
IMAGES = [Image.new("RGB", (20, 18), (200, 40, 90))]


def _draw(model: StableDiffusion) -> Tensor:
    text = model.encode_prompts(["A rocket"])
    features = model.encode_images(IMAGES) + model.encode_contents(["dog"])
    return sample(model, SamplingSettings(steps=2), text, features, [42])


def _devices(model: StableDiffusion) -> dict[str, str]:
    return {name: next(model.get_submodule(name).parameters()).device.type for name in NETWORKS}


@pytest.mark.parametrize("runtime", [Runtime(offload=True), Runtime(channels_last=True), Runtime(vae_tiling=True)])
def test_pictures_are_the_same(tiny_backbone: Backbone, model: StableDiffusion, runtime: Runtime) -> None:
    made = StableDiffusion.load(tiny_backbone, runtime).double()
    assert_same(_draw(made), _draw(model))


def test_options_reach_the_networks(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    options = Runtime(channels_last=True, vae_tiling=True, compile=True)
    made: Any = StableDiffusion.load(tiny_backbone, options)
    assert made.vae.use_tiling and compiled == ["UNet2DConditionModel"]
    for network in (made.unet, made.vae.decoder):
        assert network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_offload_leaves_the_large_networks_behind(tiny_backbone: Backbone) -> None:
    made = StableDiffusion.load(tiny_backbone, Runtime(offload=True)).to("meta")
    assert made.device.type == "meta"
    assert set(_devices(made).values()) == {"cpu"}
    assert next(made.image_projection.parameters()).device.type == "meta", "small, and asked for in every step"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_with_offload_every_network_has_the_precision_that_is_asked_for(
    tiny_backbone: Backbone, dtype: torch.dtype
) -> None:
    made = StableDiffusion.load(tiny_backbone, Runtime(offload=True)).to("meta", dtype)
    assert {parameter.dtype for parameter in made.parameters()} == {dtype}
    assert set(_devices(made).values()) == {"cpu"}
    assert {parameter.dtype for parameter in made.to("meta").parameters()} == {dtype}, "a device alone changes none"


def test_only_the_network_at_work_is_on_the_device(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    made = StableDiffusion.load(tiny_backbone, Runtime(offload=True))
    moves: list[tuple[str, str]] = []
    names = {id(made.get_submodule(name)): name for name in NETWORKS}

    def to(module: torch.nn.Module, device: Any, *_: Any) -> torch.nn.Module:
        if id(module) in names:
            moves.append((names[id(module)], "cpu" if device == "cpu" else "device"))
        return module

    monkeypatch.setattr(torch.nn.Module, "to", to)
    _draw(made)
    order = ["prompt_encoder", "image_encoder", "content_encoder", "prompt_encoder", "unet", "vae"]
    arrivals = [(name, "device") for name in order]
    departures = [(name, "cpu") for name in order[:-1]]
    expected = [arrivals[0]]
    for departure, arrival in zip(departures, arrivals[1:], strict=True):
        expected += [departure, arrival]
    assert moves == expected


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_precisions_that_every_cpu_has(dtype: Any) -> None:
    check_precision(torch.device("cpu"), Backbone(dtype=dtype))


def test_a_precision_that_the_device_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'")

    monkeypatch.setattr(torch.nn.functional, "conv2d", lacking)
    with pytest.raises(ValueError, match=r"`dtype` is float16, in which 'cpu' cannot compute .*Half.*dtype float32"):
        check_precision(torch.device("cpu"), Backbone(dtype="float16"))
