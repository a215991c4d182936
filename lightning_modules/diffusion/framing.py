"""How references that are no squares are brought to the squares that the encoders read."""

import warnings
from collections.abc import Iterable

from PIL import Image, ImageOps

from lightning_modules.diffusion.config import ReferenceFit

SQUASHED = (512, 512)
"""As the published scripts call `Image.resize((512, 512))`, by Pillow's default bicubic filter."""
GREY = (122, 116, 104)
"""CLIP's mean colour, which its image encoders read as zeros."""
_LONGEST_PADDED = 1024


def framed(image: Image.Image, fit: ReferenceFit, around: tuple[int, int, int] = GREY) -> Image.Image:
    """The image as `fit` says; "crop" leaves it as it is, for each encoder scales and crops by itself.

    Args:
        image: the image.
        fit: "pad" to a square with a margin of the colour `around`, "squash" to `SQUASHED`, or "crop".
        around: RGB, 0 .. 255.
    """
    if fit == "squash":
        return image.convert("RGB").resize(SQUASHED)
    if fit == "pad":
        side = min(max(image.size), _LONGEST_PADDED)
        return ImageOps.pad(image.convert("RGB"), (side, side), color=around)
    return image


def say_what_is_lost(keys: Iterable[str], images: Iterable[Image.Image]) -> None:
    """Warns of each image of which the middle square is less than two thirds."""
    for key, image in zip(keys, images, strict=True):
        if 3 * min(image.size) < 2 * max(image.size):
            warnings.warn(
                f"Of {key!r} ({image.width} x {image.height} pixels) only the middle square is read, by which it loses "
                "more than a third. `--model.backbone.reference_fit pad` or `squash` shows the whole.",
                stacklevel=2,
            )
