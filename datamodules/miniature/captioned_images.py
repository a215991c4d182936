"""The datamodule of captioned images that it draws itself, in all contents and styles of the miniature."""

import json
from pathlib import Path
from typing import Any

from datamodules.captioned_images import CaptionedImages
from datamodules.files import write_text
from datamodules.miniature.drawing import drawn_once, recipe_of
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, TRAIN_STYLES, content_prompt

FIRST_SEED = 1_000_000
"""Far from the seeds of the sets that experiments use, so that none of their images is trained on."""


class MiniatureCaptionedImages(CaptionedImages):
    """Captioned images drawn by code, in seconds and without a download; captions name the content alone.

    Args:
        folder: Folder of the set, drawn if it is not there: `captions.jsonl` names the train images in `images`, and
            `object_test` holds the test references, one of each content in each style, drawn apart from those.
            ValueError if it was drawn with other settings.
        per_pair: Train images of each content in each style; ValueError if there are none.
        drawing_seed: Seed of the drawings, whatever it is none of those in the other miniatures.
        kwargs: Arguments of `CaptionedImages`, but for `captions` and `test`.
    """

    def __init__(
        self,
        folder: str = "data/miniature_captioned",
        per_pair: int = 40,
        drawing_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(captions=f"{folder}/captions.jsonl", test=f"{folder}/object_test", **kwargs)
        self.folder = folder
        self.recipe = recipe_of(drawing_seed, per_pair=per_pair)
        self.recipe["seed"] += FIRST_SEED

    def prepare_data(self) -> None:
        """Draws the set if it is not there; one process does it while the others wait."""
        drawn_once(self.folder, self.recipe, self._draw)

    def _draw(self, root: Path) -> None:
        from datamodules.miniature.generate import in_all_styles, write_drawings

        styles = (*TRAIN_STYLES, *TEST_STYLES)
        per_pair, seed = self.recipe.values()
        images = in_all_styles("images/{content}", (*CONTENTS, *PROMPT_CONTENTS), styles, per_pair, seed)
        test = in_all_styles("object_test/{content}/{content}", CONTENTS, styles, 1, seed + 1)  # of no train image
        write_drawings(root, images | test)
        captions = ({"image": file, "prompt": content_prompt(content)} for file, (content, *_) in images.items())
        write_text(root / "captions.jsonl", "".join(f"{json.dumps(caption)}\n" for caption in captions))
