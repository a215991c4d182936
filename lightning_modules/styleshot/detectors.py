"""Content images as control maps: what a ControlNet is shown of them, each drawn once."""

import hashlib
import json
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from datamodules.files import write_atomically
from datamodules.reading import reading
from lightning_modules.finite import check_numbers
from lightning_modules.hub import fetch_file, find_source
from lightning_modules.styleshot.lines import HED, LineartGenerator, canny, contour_map
from lightning_modules.tensor_files import read_tensors

ANNOTATORS = "lllyasviel/Annotators@982e7edaec38759d914a963c48c4726685de7d96"
"""The public repository of both networks' weights."""
_HED, _SKETCH = "ControlNetHED.pth", "sk_model.pth"
# Part of every key: a change of what detectors draw makes the maps that older versions left unfit.
_VERSION = 1
Bytes = NDArray[np.uint8]
Settings = dict[str, Any]


class Detector(ABC):
    """Draws the lines of a content image, white on black, unless it says otherwise."""

    name: str
    """Short name, used in the names of files and runs."""

    def __init__(self, **settings: float) -> None:
        self._settings: Settings = settings

    @property
    def settings(self) -> Settings:
        """Everything besides `name` that decides the map; weights by a digest of their file."""
        return dict(self._settings)

    @abstractmethod
    def lines(self, pixels: Bytes) -> Bytes:
        """The map `(height, width)` of the RGB pixels `(height, width, 3)`, both 0 to 255."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """The control map, RGB in the size of `image`."""
        return Image.fromarray(self.lines(np.asarray(image.convert("RGB")))).convert("RGB")


class EdgeDetector(Detector):
    """Thin edges by Canny's method; needs no weights. Raises ValueError for a setting that is out of its range.

    Args:
        blur: standard deviation of the Gaussian as a share of the picture's short side; at least 0.8 pixels are taken.
        least_contrast: the smallest step, 0 to 1 in any colour channel, at which a line may start. Otsu's
            threshold decides within these limits.
        sure_contrast: the step from which on a line always starts.
        dilation: pixels by which lines grow to each side; 0 leaves them one pixel wide.
    """

    name = "edges"

    def __init__(
        self, blur: float = 0.003, least_contrast: float = 0.05, sure_contrast: float = 0.25, dilation: int = 0
    ) -> None:
        check_numbers(blur=blur, least_contrast=least_contrast, sure_contrast=sure_contrast)
        if blur < 0:
            raise ValueError(f"`blur` must be a share of the picture's short side, 0 or more; got {blur}.")
        if not 0 < least_contrast <= sure_contrast:
            raise ValueError(
                "`least_contrast` must be above 0 and not above `sure_contrast`; got "
                f"{least_contrast} and {sure_contrast}. Contrasts run from 0 to 1."
            )
        if dilation < 0:
            raise ValueError(f"`dilation` must be a number of pixels, 0 or more; got {dilation}.")
        super().__init__(blur=blur, least_contrast=least_contrast, sure_contrast=sure_contrast, dilation=dilation)

    def lines(self, pixels: Bytes) -> Bytes:
        """255 on edges, 0 elsewhere."""
        return canny(pixels, **self._settings).astype(np.uint8) * 255


class NetworkDetector(Detector):
    """A detector with trained weights, which are fetched and loaded when they are first asked for."""

    file: str
    network_class: type[nn.Module]
    least_side: int

    def __init__(self, weights: str, device: str, **settings: float) -> None:
        super().__init__(**settings)
        self.weights, self.device = weights, torch.device(device)

    @cached_property
    def settings(self) -> Settings:
        """The arguments that decide the map."""
        return {"weights": hashlib.sha256(self.path.read_bytes()).hexdigest()[:16], **self._settings}

    @cached_property
    def path(self) -> Path:
        """The local path of the weights; FileNotFoundError where they cannot be had."""
        try:
            return fetch_file(find_source(self.weights, "weights"), "weights")
        except OSError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise FileNotFoundError(
                f"`weights` of {type(self).__name__} must be the public file {self.file}; {self.weights!r} could not "
                f"be had. Download it from https://huggingface.co/lllyasviel/Annotators and give its path, or take "
                f"EdgeDetector, which needs no weights. Reason: {reason}"
            ) from error

    @cached_property
    def network(self) -> nn.Module:
        """The network in float32 (the public HED is stored in float16); ValueError for a file with other tensors."""
        network, argument = self.network_class(), f"weights` of `{type(self).__name__}"
        expected = f"It must be the public file {self.file} of https://huggingface.co/lllyasviel/Annotators."
        tensors = read_tensors(self.path, argument, expected).content
        with reading(self.path, argument, expected):
            network.load_state_dict(tensors)
        return network.float().requires_grad_(False).eval().to(self.device)

    def lines(self, pixels: Bytes) -> Bytes:
        """What `draw` makes of the pixels; ValueError where the picture is too small for the network."""
        height, width = pixels.shape[:2]
        if min(height, width) < self.least_side:
            raise ValueError(
                f"`image` must be at least {self.least_side} pixels high and wide for {type(self).__name__}; got "
                f"{width} x {height}. Enlarge it, or take EdgeDetector, which has no such limit."
            )
        batch = torch.tensor(pixels, dtype=torch.float32, device=self.device).permute(2, 0, 1)[None]
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return np.asarray(self.draw(batch)[0, 0].cpu().numpy(), dtype=np.uint8)

    @abstractmethod
    def draw(self, pixels: Tensor) -> Tensor:
        """The map `(1, 1, height, width)`, uint8, of RGB pixels `(1, 3, height, width)`, 0 to 255."""


class ContourDetector(NetworkDetector):
    """StyleShot's contour: HED's edges above a threshold, thickened by one pixel to each side.

    Args:
        weights: ControlNetHED.pth, a local path or a hub name `owner/name[@revision]/file`.
        threshold: 0 .. 254 of HED's 0 .. 255; lower ones keep more lines.
        device: where the network runs, "cpu" or "cuda".
    """

    name = "contour"
    file, network_class, least_side = _HED, HED, 16

    def __init__(self, weights: str = f"{ANNOTATORS}/{_HED}", threshold: int = 200, device: str = "cpu") -> None:
        if not 0 <= threshold < 255:
            raise ValueError(f"`threshold` must be 0 to 254, of edges from 0 to 255 (StyleShot: 200); got {threshold}.")
        super().__init__(weights, device, threshold=threshold)

    def draw(self, pixels: Tensor) -> Tensor:
        """255 on contours, 0 elsewhere."""
        height, width = pixels.shape[-2:]
        return contour_map(self.network(pixels), (height, width), self._settings["threshold"]).to(torch.uint8) * 255


class LineartDetector(NetworkDetector):
    """Lines of a pencil drawing, in shades of grey.

    Args:
        weights: sk_model.pth, a local path or a hub name `owner/name[@revision]/file`.
        dark_lines: dark lines on white, as the network draws them and as `Gaojunyao/StyleShot_lineart` is shown them;
            False: light lines on black ("light_lineart"), as other ControlNets are.
        device: where the network runs, "cpu" or "cuda".
    """

    name = "lineart"
    file, network_class, least_side = _SKETCH, LineartGenerator, 5

    def __init__(self, weights: str = f"{ANNOTATORS}/{_SKETCH}", dark_lines: bool = True, device: str = "cpu") -> None:
        super().__init__(weights, device, dark_lines=dark_lines)
        self.name = "lineart" if dark_lines else "light_lineart"

    def draw(self, pixels: Tensor) -> Tensor:
        """Grey lines."""
        drawing = (self.network(pixels / 255) * 255).to(torch.uint8)
        return drawing if self._settings["dark_lines"] else 255 - drawing


_KINDS = (EdgeDetector, ContourDetector, LineartDetector)
DETECTORS: dict[str, type[EdgeDetector] | type[ContourDetector] | type[LineartDetector]] = {k.name: k for k in _KINDS}
"""By the names that `content_lines` of a backbone knows."""


class MapCache:
    """A detector that computes the map of each image once, or once for all runs, with a folder that keeps PNG files."""

    def __init__(self, detector: Detector, folder: str | None = None) -> None:
        self.detector, self.folder = detector, None if folder is None else Path(folder).expanduser()
        self._kept: dict[str, bytes] = {}

    def __call__(self, image: Image.Image) -> Image.Image:
        """The control map, RGB in the size of `image`; WriteError where the folder cannot be written."""
        key = self.key(image)
        path = self.folder and self.folder / f"{key}.png"
        kept = path or BytesIO(self._kept.get(key, b""))
        with suppress(OSError), Image.open(kept) as opened:  # one that is no picture or is cut off is drawn anew
            return opened.convert("RGB")
        drawn, encoded = self.detector(image), BytesIO()
        drawn.save(encoded, format="PNG")
        if path is None:
            self._kept[key] = encoded.getvalue()
        else:
            write_atomically(path, lambda file: file.write(encoded.getvalue()))
        return drawn

    def key(self, image: Image.Image) -> str:
        """Name of the map: the detector's, and a digest of its settings and of the image's size and pixels."""
        pixels = image.convert("RGB")
        told = json.dumps([_VERSION, self.detector.settings, pixels.size], sort_keys=True)
        return f"{self.detector.name}-{hashlib.sha256(told.encode() + pixels.tobytes()).hexdigest()[:32]}"


def drawn_size(size: tuple[int, int], step: int) -> tuple[int, int]:
    """The sides nearest to those of `size` that are multiples of `step`, at least one step."""
    one, other = (max(step, round(side / step) * step) for side in size)
    return one, other


def map_pixels(lines: Image.Image, size: tuple[int, int]) -> Tensor:
    """A control map as `(3, height, width)`, float32 in 0 .. 1, of `size` (width, height)."""
    fitted = lines.convert("RGB")
    if fitted.size != size:
        fitted = fitted.resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 255


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures `(batch, 3, height, width)`, 0 .. 1, brought to `size` (width, height)."""
    width, height = size
    if pictures.shape[2:] == (height, width):
        return pictures
    return nn.functional.interpolate(pictures, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
