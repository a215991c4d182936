"""The datamodule of captioned images that it draws itself, in all contents and styles of the miniature."""

from pathlib import Path
from typing import Any

from datamodules.captioned_images import CaptionedImages
from datamodules.miniature.drawing import drawn_once
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES

FIRST_SEED = 1_000_000
"""Far from the seeds of the sets that experiments use, so that none of their images is trained on."""


class MiniatureCaptionedImages(CaptionedImages):
    """Captioned images drawn by code, in seconds and without a download; captions name the content alone.

    Args:
        folder: Folder of the set, drawn if it is not there: `captions.jsonl` names the train images in `images`, and
            `object_test` holds the test references, one of each content in each style, drawn apart from those.
        per_pair: Train images of each content in each style.
        drawing_seed: Seed of the drawings, whatever it is none of those in the other miniatures.
        kwargs: Arguments of `CaptionedImages`, but for `captions` and `test`.

    Raises:
        ValueError: If a number is too small, or `folder` holds what was drawn with other settings.
    """

    def __init__(
        self,
        folder: str = "data/miniature_captioned",
        per_pair: int = 40,
        drawing_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(captions=f"{folder}/captions.jsonl", test=f"{folder}/object_test", **kwargs)
        for name, value, least in (("per_pair", per_pair, 1), ("drawing_seed", drawing_seed, 0)):
            if value < least:
                raise ValueError(f"`{name}` is a number from {least} up and was {value}.")
        self.folder = folder
        self.recipe = {"per_pair": per_pair, "seed": FIRST_SEED + drawing_seed}

    def prepare_data(self) -> None:
        """Draws the set if it is not there; one process does it while the others wait."""
        drawn_once(self.folder, self.recipe, self._draw)

    def _draw(self, root: Path) -> None:
        from datamodules.miniature.generate import write_captioned, write_dataset

        styles = (*TRAIN_STYLES, *TEST_STYLES)
        per_pair, seed = self.recipe.values()
        write_captioned(root, (*CONTENTS, *PROMPT_CONTENTS), styles, per_pair, seed)
        write_dataset(root / "object_test", CONTENTS, styles, 1, seed + 1)  # none of the images of training
