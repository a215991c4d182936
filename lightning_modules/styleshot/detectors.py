"""Content images as control maps: what a ControlNet is shown of them."""

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from datamodules.reading import reading
from lightning_modules.finite import check_numbers
from lightning_modules.hub import fetch_file, find_source
from lightning_modules.styleshot.lines import HED, LineartGenerator, canny, contour_map
from lightning_modules.tensor_files import read_tensors

ANNOTATORS = "lllyasviel/Annotators@982e7edaec38759d914a963c48c4726685de7d96"
"""The public repository of both networks' weights."""
Bytes = NDArray[np.uint8]
Settings = dict[str, Any]


class Detector(ABC):
    """Draws the lines of a content image, white on black, unless it says otherwise.

    Attributes:
        name: short name, used in the names of files and runs.
    """

    name: str

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """Everything besides `name` that decides the map; weights by a digest of their file."""

    @abstractmethod
    def lines(self, pixels: Bytes) -> Bytes:
        """The map `(height, width)` of the RGB pixels `(height, width, 3)`, both 0 to 255."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """The control map, RGB in the size of `image`."""
        return Image.fromarray(self.lines(np.asarray(image.convert("RGB")))).convert("RGB")


class EdgeDetector(Detector):
    """Thin edges by Canny's method; needs no weights.

    Args:
        blur: standard deviation of the Gaussian as a share of the picture's short side; at least 0.8 pixels are taken.
        least_contrast: the smallest step, 0 to 1 in any colour channel, at which a line may start. Otsu's
            threshold decides within these limits.
        sure_contrast: the step from which on a line always starts.
        dilation: pixels by which lines grow to each side; 0 leaves them one pixel wide.

    Raises:
        ValueError: a setting is out of its range.
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
        self._settings: Settings = {"blur": blur, "least_contrast": least_contrast}
        self._settings |= {"sure_contrast": sure_contrast, "dilation": dilation}

    @property
    def settings(self) -> Settings:
        """The arguments."""
        return dict(self._settings)

    def lines(self, pixels: Bytes) -> Bytes:
        """255 on edges, 0 elsewhere."""
        return canny(pixels, **self._settings).astype(np.uint8) * 255


class NetworkDetector(Detector):
    """A detector with trained weights, which are fetched and loaded when they are first asked for."""

    file: str
    network_class: type[nn.Module]
    least_side: int

    def __init__(self, weights: str, device: str, **settings: int | bool) -> None:
        self.weights, self.device = weights, torch.device(device)
        self._settings = settings

    @property
    def settings(self) -> Settings:
        """The arguments that decide the map."""
        return {"weights": hashlib.sha256(self.path.read_bytes()).hexdigest()[:16], **self._settings}

    @cached_property
    def path(self) -> Path:
        """The local path of the weights; FileNotFoundError where they cannot be had, locally or from the hub."""
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
        network = self.network_class()
        argument = f"weights` of `{type(self).__name__}"
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

    Raises:
        ValueError: `threshold` is out of its range.
    """

    name = "contour"
    file, network_class, least_side = "ControlNetHED.pth", HED, 16

    def __init__(
        self, weights: str = f"{ANNOTATORS}/ControlNetHED.pth", threshold: int = 200, device: str = "cpu"
    ) -> None:
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
    file, network_class, least_side = "sk_model.pth", LineartGenerator, 5

    def __init__(
        self, weights: str = f"{ANNOTATORS}/sk_model.pth", dark_lines: bool = True, device: str = "cpu"
    ) -> None:
        super().__init__(weights, device, dark_lines=dark_lines)
        self.name = "lineart" if dark_lines else "light_lineart"

    def draw(self, pixels: Tensor) -> Tensor:
        """Grey lines."""
        drawing = (self.network(pixels / 255) * 255).to(torch.uint8)
        return drawing if self._settings["dark_lines"] else 255 - drawing


DETECTORS: dict[str, type[EdgeDetector] | type[ContourDetector] | type[LineartDetector]] = {
    detector.name: detector for detector in (EdgeDetector, ContourDetector, LineartDetector)
}
"""By the names that `content_lines` of a backbone knows."""
