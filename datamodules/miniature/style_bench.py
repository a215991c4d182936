"""The datamodule of a small StyleBench that it draws itself, in styles that the miniature was not trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.miniature.drawing import drawn_once, recipe_of
from datamodules.style_bench import StyleBench
from datamodules.style_references import PROMPTS
from datamodules.vocabulary import PROMPT_CONTENTS, content_prompt

REFERENCE_CONTENTS = ("bird", "cat", "frog", "ship", "truck")
"""Shown by the references, and by no content image, so that what leaks can be told from what is asked for."""
DRAWN_PLAINLY = (*PROMPT_CONTENTS, "airplane", "automobile", "deer", "dog", "horse")
"""Shown by the content images."""


class MiniatureStyleBench(StyleBench):
    """Style references and content images drawn by code, in a second and without a download, laid out like StyleBench.

    Args:
        folder: Folder of the set, drawn if it is not there: `styles` holds the references, `content` the content
            images. Give `<folder>/content` as `content_images` to transfer styles onto them. ValueError if it was drawn
            with other settings.
        per_style: References of each style; ValueError if there are none.
        drawing_seed: Seed of the drawings.
        prompts: What is drawn in the style of each reference, without `content_images`.
        content_words: What the references show, as in `StyleBench`; null: the content that was drawn.
        kwargs: Arguments of `StyleBench`, but for `root`.
    """

    def __init__(
        self,
        folder: str = "data/miniature_style_bench",
        per_style: int = 4,
        drawing_seed: int = 0,
        *,
        prompts: Sequence[str] = PROMPTS,
        content_words: str | dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        words = content_words or {f"{content}_*": content for content in REFERENCE_CONTENTS}
        super().__init__(root=f"{folder}/styles", prompts=prompts, content_words=words, **kwargs)
        self.folder = folder
        self.recipe = recipe_of(drawing_seed, per_style=per_style)

    def prepare_data(self) -> None:
        """Draws the set if it is not there; one process does it while the others wait."""
        drawn_once(self.folder, self.recipe, self._draw)

    def _draw(self, root: Path) -> None:
        from datamodules.miniature.generate import BENCH_STYLES, Drawing, write_drawings

        per_style, seed = self.recipe.values()
        drawings: dict[str, Drawing] = {f"content/{content_prompt(c)}.png": (c, "plain", seed) for c in DRAWN_PLAINLY}
        for place, style in enumerate(BENCH_STYLES):
            for index in range(per_style):
                content = REFERENCE_CONTENTS[(place + index) % len(REFERENCE_CONTENTS)]
                drawings[f"styles/{style}/{content}_{index}.png"] = content, style, [seed, index]
        write_drawings(root, drawings)
