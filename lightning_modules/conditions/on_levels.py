"""A method on some of StyleShot's levels, while the others stay as they are."""

from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from lightning_modules.conditions.adapted import Adapted
from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.checks import LEVELS, check_levels

Level = Literal["high", "middle", "low"]


class OnLevels(Condition):
    """v as ``condition`` edits e on the chosen levels, v = e on the others.

    A mask keeps everything on the other levels.

    Args:
        condition: the method, one that edits each level by itself.
        levels: names of StyleShot's levels, "high" (large patches), "middle" and "low" (small ones), in any order.

    Raises:
        ValueError: ``levels`` is empty, repeats a level or names another; or ``condition`` is an adapter, which was
            trained on whole features, or another OnLevels.
    """

    def __init__(self, condition: Condition, levels: list[Level]) -> None:
        super().__init__()
        _check_names(levels)
        if isinstance(condition, Adapted | OnLevels):
            raise ValueError(
                "`condition` must be a method that edits each level by itself, such as Masking, QuantileMasking or "
                f"InstantStyle; got {type(condition).__name__}. Give an adapter as the `condition` of the model "
                "itself, and all levels of a method in one list."
            )
        self.condition = condition
        self.levels = [level for level in LEVELS if level in levels]
        self.name = f"{condition.name}_on_{'_'.join(self.levels)}"

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """The chosen levels, and name and settings of the method."""
        return {"levels": ", ".join(self.levels), "on_levels": self.condition.name, **self.condition.settings}

    @override
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Edit the chosen levels of e ``(batch, 3, dim)``; see :meth:`Condition.forward`."""
        check_levels(image_feature, type(self).__name__)
        places = torch.tensor([LEVELS.index(level) for level in self.levels], device=image_feature.device)
        edited: Conditioned = self.condition(image_feature[:, places], text_feature, text_states)
        feature = image_feature.index_copy(1, places, edited.feature)
        if edited.keep_mask is None or edited.share_masked is None:
            return Conditioned(feature)
        kept = torch.ones_like(image_feature, dtype=torch.bool)
        nothing = edited.share_masked.new_zeros(image_feature.shape[:2])
        return Conditioned(
            feature, kept.index_copy(1, places, edited.keep_mask), nothing.index_copy(1, places, edited.share_masked)
        )


def _check_names(levels: list[Level]) -> None:
    if not levels or len(set(levels)) < len(levels) or not set(levels) <= set(LEVELS):
        raise ValueError(
            f"`levels` must name one or more of {', '.join(LEVELS)}, each once; got {levels!r}. "
            "For all levels leave OnLevels out: methods act on each level anyway."
        )
