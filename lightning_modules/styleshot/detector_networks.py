"""The two line networks that StyleShot's content maps come from; names of submodules are those of the public files."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class HED(nn.Module):
    """Holistically-nested edge detection (Xie and Tu, arXiv 1504.06375), in the variant published with ControlNet."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.block1 = _SideBlock(3, 64, 2)
        self.block2 = _SideBlock(64, 128, 2)
        self.block3 = _SideBlock(128, 256, 3)
        self.block4 = _SideBlock(256, 512, 3)
        self.block5 = _SideBlock(512, 512, 3)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """The five side outputs.

        Args:
            pixels: RGB `(batch, 3, height, width)`, 0 to 255; sides of at least 16.

        Returns:
            Logits `(batch, 1, height / 2**k, width / 2**k)`, rounded down, for k = 0 .. 4.
        """
        hidden, side = self.block1(pixels - self.norm)
        sides = [side]
        for block in (self.block2, self.block3, self.block4, self.block5):
            hidden, side = block(functional.max_pool2d(hidden, 2))
            sides.append(side)
        return sides


class _SideBlock(nn.Module):
    def __init__(self, inputs: int, channels: int, layers: int) -> None:
        super().__init__()
        widths = [inputs, *[channels] * layers]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.projection = nn.Conv2d(channels, 1, 1)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            hidden = functional.relu(conv(hidden))
        return hidden, self.projection(hidden)


def contour_map(sides: Sequence[Tensor], size: tuple[int, int], threshold: int = 200) -> Tensor:
    """StyleShot's contour of a picture: HED's mean side output, thresholded and thickened by one pixel.

    Args:
        sides: logits `(batch, 1, *, *)`, enlarged bilinearly to the picture.
        size: (height, width) of the picture.
        threshold: the largest of the values 0 .. 255, rounded down, that is no line.

    Returns:
        Bool `(batch, 1, height, width)`, True on lines.
    """
    logits = torch.stack([functional.interpolate(side, size, mode="bilinear") for side in sides]).mean(dim=0)
    values = (logits.cpu().double().sigmoid() * 255).floor()
    return functional.max_pool2d((values > threshold).float(), 3, stride=1, padding=1) > 0


class LineartGenerator(nn.Module):
    """Informative drawings (Chan et al., arXiv 2203.12691): a picture as a pencil would draw it.

    The normalisations have neither weights nor running statistics, so that only the convolutions have keys.
    """

    def __init__(self, residual_blocks: int = 3) -> None:
        super().__init__()
        self.model0 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), nn.InstanceNorm2d(64), nn.ReLU())
        self.model1 = nn.Sequential(*_halving(64, 128), *_halving(128, 256))
        self.model2 = nn.Sequential(*(_ResidualBlock(256) for _ in range(residual_blocks)))
        self.model3 = nn.Sequential(*_doubling(256, 128), *_doubling(128, 64))
        self.model4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(64, 1, 7), nn.Sigmoid())

    def forward(self, pixels: Tensor) -> Tensor:
        """The drawing, dark lines on white paper.

        Args:
            pixels: RGB `(batch, 3, height, width)`, 0 to 1; sides of at least 5.

        Returns:
            `(batch, 1, height, width)`, 0 to 1.
        """
        height, width = pixels.shape[-2:]
        drawing: Tensor = self.model4(self.model3(self.model2(self.model1(self.model0(pixels)))))
        # Sides that 4 does not divide come out longer, at the bottom and at the right.
        return drawing[..., :height, :width]


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(*_same(channels), nn.ReLU(), *_same(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.conv_block(hidden)


def _same(channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]


def _halving(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.InstanceNorm2d(outputs), nn.ReLU()]


def _doubling(inputs: int, outputs: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return [conv, nn.InstanceNorm2d(outputs), nn.ReLU()]
