"""HED and the line drawings: the public files' keys, and values against plain convolutions in double precision."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from lightning_modules.styleshot.detectors import ContourDetector, Detector, EdgeDetector, LineartDetector
from lightning_modules.styleshot.lines import HED, LineartGenerator, contour_map
from tests.float64 import assert_same
from tests.mutations import POINTER

Weights = dict[str, Tensor]
SIDES = ((3, 64, 2), (64, 128, 2), (128, 256, 3), (256, 512, 3), (512, 512, 3))


def random_weights(shapes: dict[str, tuple[int, ...]]) -> Weights:
    """Weights that keep the variance of what passes, biases near 0."""
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5
        if len(shape) == 4
        else 0.1 * torch.randn(shape, generator=generator)
        for key, shape in shapes.items()
    }


def hed_weights() -> Weights:
    """Random weights under the keys of ControlNetHED.pth, in its precision."""
    shapes: dict[str, tuple[int, ...]] = {"norm": (1, 3, 1, 1)}
    for place, (inputs, channels, layers) in enumerate(SIDES, 1):
        for layer in range(layers):
            convs = f"block{place}.convs.{layer}"
            shapes |= {f"{convs}.weight": (channels, channels if layer else inputs, 3, 3), f"{convs}.bias": (channels,)}
        projection = f"block{place}.projection"
        shapes |= {f"{projection}.weight": (1, channels, 1, 1), f"{projection}.bias": (1,)}
    weights = random_weights(shapes) | {"norm": torch.tensor([120.0, 115.0, 105.0]).view(1, 3, 1, 1)}
    weights["block1.convs.0.weight"] /= 100  # pixels run to 255
    return {key: tensor.half() for key, tensor in weights.items()}


def lineart_weights() -> Weights:
    """Random weights under the keys of sk_model.pth."""
    places = {"model0.1": (64, 3, 7, 7), "model1.0": (128, 64, 3, 3), "model1.3": (256, 128, 3, 3)}
    places |= {f"model2.{block}.conv_block.{conv}": (256, 256, 3, 3) for block in range(3) for conv in (1, 5)}
    places |= {"model3.0": (256, 128, 3, 3), "model3.3": (128, 64, 3, 3), "model4.1": (1, 64, 7, 7)}
    channels = {key: shape[1 if key.startswith("model3") else 0] for key, shape in places.items()}
    weights: dict[str, tuple[int, ...]] = {f"{key}.weight": shape for key, shape in places.items()}
    return random_weights(weights | {f"{key}.bias": (channels[key],) for key in places})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("annotators")
    torch.save(hed_weights(), folder / "ControlNetHED.pth")
    torch.save(lineart_weights(), folder / "sk_model.pth", _use_new_zipfile_serialization=False)
    return {"hed": str(folder / "ControlNetHED.pth"), "lineart": str(folder / "sk_model.pth")}


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def as_batch(image: Image.Image) -> Tensor:
    return torch.tensor(np.asarray(image)).double().permute(2, 0, 1)[None]


def reference_sides(pixels: Tensor) -> list[Tensor]:
    weights = {key: tensor.double() for key, tensor in hed_weights().items()}
    hidden, sides = pixels - weights["norm"], []
    for place, (_, _, layers) in enumerate(SIDES, 1):
        if place > 1:  # the largest of each square of four
            height, width = (side // 2 for side in hidden.shape[-2:])
            squares = hidden[..., : 2 * height, : 2 * width].unfold(2, 2, 2).unfold(3, 2, 2)
            hidden = squares.amax(dim=(-1, -2))
        for layer in range(layers):
            name = f"block{place}.convs.{layer}"
            hidden = functional.conv2d(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).clamp(0)
        projection = f"block{place}.projection"
        sides.append(functional.conv2d(hidden, weights[f"{projection}.weight"], weights[f"{projection}.bias"]))
    return sides


def reference_drawing(pixels: Tensor) -> Tensor:
    weights = {key: tensor.double() for key, tensor in lineart_weights().items()}

    def conv(hidden: Tensor, name: str, reflected: int = 0, **options: int) -> Tensor:
        padded = functional.pad(hidden, (reflected,) * 4, mode="reflect")
        return functional.conv2d(padded, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)

    def enlarged(hidden: Tensor, name: str) -> Tensor:
        return functional.conv_transpose2d(
            hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2, padding=1, output_padding=1
        )

    def normal(hidden: Tensor) -> Tensor:
        variance, mean = torch.var_mean(hidden, dim=(2, 3), keepdim=True, correction=0)
        return (hidden - mean) / (variance + 1e-5).sqrt()

    hidden = normal(conv(pixels, "model0.1", 3)).clamp(0)
    for name in ("model1.0", "model1.3"):
        hidden = normal(conv(hidden, name, stride=2, padding=1)).clamp(0)
    for block in range(3):
        inner = normal(conv(hidden, f"model2.{block}.conv_block.1", 1)).clamp(0)
        hidden = hidden + normal(conv(inner, f"model2.{block}.conv_block.5", 1))
    for name in ("model3.0", "model3.3"):
        hidden = normal(enlarged(hidden, name)).clamp(0)
    return conv(hidden, "model4.1", 3).sigmoid()


@pytest.mark.parametrize(("network", "weights"), [(HED, hed_weights), (LineartGenerator, lineart_weights)])
def test_the_networks_have_the_keys_and_shapes_of_the_public_files(
    network: Callable[[], torch.nn.Module], weights: Callable[[], Weights]
) -> None:
    own = {key: tensor.shape for key, tensor in network().state_dict().items()}
    assert own == {key: tensor.shape for key, tensor in weights().items()}


@torch.no_grad()
def test_the_contour_is_that_of_plain_convolutions(files: dict[str, str]) -> None:
    image, detector = picture(37, 26), ContourDetector(files["hed"], threshold=127)
    expected = reference_sides(as_batch(image))
    network = deepcopy(detector.network).double()
    found = network(as_batch(image))
    assert [side.shape[-2:] for side in found] == [(26, 37), (13, 18), (6, 9), (3, 4), (1, 2)]
    assert_same(found, expected)
    # The contour of exact logits: no pixel lies on the other side of the threshold for its rounding.
    detector.network.forward = lambda pixels: network(pixels.double())
    enlarged = [functional.interpolate(side, (26, 37), mode="bilinear")[0, 0].numpy() for side in expected]
    probability = 1 / (1 + np.exp(-np.mean(enlarged, axis=0)))
    lines = (255 * probability).astype(np.uint8) > 127
    contour = np.asarray(detector(image))
    assert 0.05 < lines.mean() < 0.95
    assert ((contour == 255) == ndimage.binary_dilation(lines, np.ones((3, 3)))[..., None]).all()
    assert set(np.unique(contour)) <= {0, 255}


def test_the_contour_is_thresholded_and_dilated_once() -> None:
    # Logits of 255 p = 200.9 and 201.1, which are rounded down before they are compared with 200.
    below, above = (float(np.log(v / (255 - v))) for v in (200.9, 201.1))
    sides = [torch.full((1, 1, 7, 9), below)] * 5
    assert not contour_map(sides, (7, 9)).any()
    sides = [side.clone() for side in sides]
    for side in sides:
        side[0, 0, 3, 4] = above
    expected = torch.zeros(1, 1, 7, 9, dtype=torch.bool)
    expected[..., 2:5, 3:6] = True
    assert torch.equal(contour_map(sides, (7, 9)), expected)
    sides[0][0, 0, 3, 4] = below  # the mean of the five decides
    assert torch.equal(contour_map(sides, (7, 9)), expected)
    sides[0][0, 0, 3, 4] = -5
    assert not contour_map(sides, (7, 9)).any()


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 24), (33, 23), (5, 6)])
def test_the_drawing_is_that_of_plain_convolutions(files: dict[str, str], size: tuple[int, int]) -> None:
    image = picture(*size)
    width, height = size
    expected = (255 * reference_drawing(as_batch(image) / 255))[0, 0, :height, :width].numpy()
    dark, light = (LineartDetector(files["lineart"], dark_lines=dark)(image) for dark in (True, False))
    assert dark.size == light.size == size and dark.mode == light.mode == "RGB"
    assert np.abs(np.asarray(dark)[..., 0] - np.floor(expected)).max() <= 1
    assert expected.std() > 1
    assert (np.asarray(light) == 255 - np.asarray(dark)).all()


def test_the_network_is_frozen_in_float32_and_settings_follow_the_file(files: dict[str, str], tmp_path: Path) -> None:
    detector = ContourDetector(files["hed"])
    parameters = list(detector.network.parameters())
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in parameters) and not detector.network.training
    copy, other = tmp_path / "copy.pth", tmp_path / "other.pth"
    copy.write_bytes(Path(files["hed"]).read_bytes())
    torch.save(hed_weights() | {"norm": torch.zeros(1, 3, 1, 1)}, other)
    assert ContourDetector(str(copy)).settings == detector.settings
    assert ContourDetector(str(other)).settings != detector.settings
    assert ContourDetector(files["hed"], threshold=100).settings["threshold"] == 100
    drawn = [LineartDetector(files["lineart"], *light) for light in ((), (False,))]
    assert [(each.name, each.settings["dark_lines"]) for each in drawn] == [("lineart", True), ("light_lineart", False)]


@pytest.mark.parametrize(
    ("detector", "file"), [(ContourDetector, "ControlNetHED.pth"), (LineartDetector, "sk_model.pth")]
)
def test_missing_weights_say_where_they_are_and_what_needs_none(
    detector: Callable[[str], Detector], file: str, tmp_path: Path
) -> None:
    text = f"must be the public file {file}; '{tmp_path}/none.pth' could not be had. Download it from "
    with pytest.raises(FileNotFoundError, match=re.escape(text)) as error:
        detector(f"{tmp_path}/none.pth")(picture(20, 20))
    assert "https://huggingface.co/lllyasviel/Annotators" in str(error.value)
    assert "Reason: `weights` must be a local path or a hub name" in str(error.value)
    assert "EdgeDetector, which needs no weights" in str(error.value) and EdgeDetector()(picture(20, 20))


@pytest.mark.parametrize(
    "content", [{"norm": torch.zeros(1, 3, 1, 1)}, [1, 2], {"norm": torch.tensor(torch.nan)}, POINTER]
)
def test_other_files_are_refused(content: object, tmp_path: Path) -> None:
    if isinstance(content, bytes):
        (tmp_path / "file.pth").write_bytes(content)
    else:
        torch.save(content, tmp_path / "file.pth")
    with pytest.raises(
        ValueError, match=r"`weights` of `ContourDetector` .*file\.pth.* the public file ControlNetHED\.pth"
    ):
        ContourDetector(str(tmp_path / "file.pth"))(picture(20, 20))


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    torch.save(lineart_weights() | {"model5.weight": torch.zeros(1)}, tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"model5\.weight"):
        LineartDetector(str(tmp_path / "file.pth"))(picture(20, 20))


def test_small_pictures_and_bad_thresholds_are_refused(files: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="`image` must be at least 16 pixels high and wide for ContourDetector; got 4"):
        ContourDetector(files["hed"])(picture(40, 15))
    with pytest.raises(ValueError, match="`image` must be at least 5 pixels high and wide for LineartDetector; got 4"):
        LineartDetector(files["lineart"])(picture(4, 9))
    with pytest.raises(ValueError, match=r"`threshold` must be 0 to 254, of edges from 0 to 255 \(StyleShot: 200\)"):
        ContourDetector(threshold=255)
