"""The datamodule of captioned images, on which a StyleShot is trained."""

from functools import cached_property
from typing import Any

from datamodules.captioned_set import CaptionedSet
from datamodules.style_references import StyleReferences


class CaptionedImages(StyleReferences):
    """Captioned images to train on, and style references whose styles are transferred in all other stages.

    Args:
        captions: File of JSON lines, {"image": "a/b.png", "prompt": "A dog"} each, with or without
            "content_map": "maps/b.png", an image of the contours; paths are absolute, or relative to the folder of
            the file. The style is learnt from the image alone: prompts should name what it shows and not its style.
        kwargs: Arguments of `StyleReferences`, but for `train`.

    Raises:
        ValueError: If an argument of `StyleReferences` is wrong.
    """

    def __init__(self, captions: str = "data/captions.jsonl", **kwargs: Any) -> None:
        super().__init__(train=captions, **kwargs)
        self.captions = captions

    @cached_property
    def train_set(self) -> CaptionedSet:
        """The images of `captions`, read and checked once."""
        return CaptionedSet(self.captions)
