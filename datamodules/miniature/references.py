"""The datamodule of the miniature: the same references and jobs, over a small set that it draws itself."""

from pathlib import Path
from typing import Any

from datamodules.miniature.drawing import drawn_once, recipe_of
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import CONTENTS, TEST_STYLES, TRAIN_STYLES


class MiniatureReferences(StyleReferences):
    """Style references drawn by code, in seconds and without a download, in the layout of the real ones.

    Args:
        root: Folder of the set, drawn if it is not there: `object` holds the train styles and `object_test` the test
            styles. ValueError if it was drawn with other settings.
        train_per_style: Train images of each content in each train style; ValueError if there are none.
        test_per_style: Test images of each content in each test style; likewise.
        drawing_seed: Seed of the drawings.
        kwargs: Arguments of `StyleReferences`, but for `train` and `test`.
    """

    def __init__(
        self,
        root: str = "data/miniature",
        train_per_style: int = 8,
        test_per_style: int = 2,
        drawing_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(train=f"{root}/object", test=f"{root}/object_test", **kwargs)
        self.root = root
        self.recipe = recipe_of(drawing_seed, train_per_style=train_per_style, test_per_style=test_per_style)

    def prepare_data(self) -> None:
        """Draws the set if it is not there; one process does it while the others wait."""
        drawn_once(self.root, self.recipe, self._draw)

    def _draw(self, root: Path) -> None:
        from datamodules.miniature.generate import in_all_styles, write_drawings

        n_train, n_test, seed = self.recipe.values()
        drawings = in_all_styles("object/{content}/{content}", CONTENTS, TRAIN_STYLES, n_train, seed)
        drawings |= in_all_styles("object_test/{content}/{content}", CONTENTS, TEST_STYLES, n_test, seed)
        write_drawings(root, drawings)
