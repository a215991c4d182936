"""What every condition takes and returns."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Conditioned(NamedTuple):
    """The edited image feature and what was done to it.

    Attributes:
        feature: v ``(batch, dim)`` or ``(batch, levels, dim)``, what the image projection is given.
        keep_mask: bool in the shape of ``feature``, True where an element is kept; None for methods without
            a mask.
        share_masked: share of dropped elements, 0..1, float32 ``(batch,)`` or ``(batch, levels)``; None for
            methods without a mask.
    """

    feature: Tensor
    keep_mask: Tensor | None = None
    share_masked: Tensor | None = None


class Condition(nn.Module, ABC):
    """A method that edits the image feature e of the style reference before the image projection reads it.

    Attributes:
        name: short name, used in the names of files and runs.
    """

    name: str

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """Everything besides :attr:`name` and trained weights that decides the edited feature."""
        return {}

    @abstractmethod
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Edit the image feature.

        Args:
            image_feature: e ``(batch, dim)`` or ``(batch, levels, dim)``, CLIP's ``image_embeds``, not
                normalised.
            text_feature: t ``(batch, dim)`` or ``(1, dim)``, ``text_embeds`` of the content word from the
                text tower that is paired with the image encoder; every level is compared with it.
            text_states: ``(batch, tokens, text_dim)`` or ``(1, tokens, text_dim)``, hidden states of the
                content word from Stable Diffusion's text encoder, read by the Text-Adapter alone.

        Raises:
            ValueError: a tensor that the method reads is missing or has another shape or type.
        """

    def extra_repr(self) -> str:
        """The settings, as they appear in the printed module."""
        return ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
