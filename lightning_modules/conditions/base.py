"""What every condition takes and returns, and what it refuses."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Conditioned(NamedTuple):
    """The edited image feature and what was done to it."""

    feature: Tensor
    """v ``(batch, dim)`` or ``(batch, levels, dim)``, what the image projection is given."""
    keep_mask: Tensor | None = None
    """Bool in the shape of ``feature``, True where an element is kept; None for methods without a mask."""
    share_masked: Tensor | None = None
    """Share of dropped elements, 0..1, float32 ``(batch,)`` or ``(batch, levels)``; None likewise."""


class Condition(nn.Module, ABC):
    """A method that edits the image feature e of the style reference before the image projection reads it.

    Attributes:
        name: short name, used in the names of files and runs.
    """

    name: str
    _settings: tuple[str, ...] = ()  # names of the attributes that decide the edited feature

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """Everything besides :attr:`name` and trained weights that decides the edited feature."""
        return {name: getattr(self, name) for name in self._settings}

    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Edit the image feature; ValueError where a tensor that is read is missing or has another shape or type.

        Args:
            image_feature: e ``(batch, dim)`` or ``(batch, levels, dim)``, CLIP's ``image_embeds``, not normalised.
            text_feature: t ``(batch, dim)`` or ``(1, dim)``, ``text_embeds`` of the content word from the text tower
                that is paired with the image encoder; every level is compared with it.
            text_states: ``(batch, tokens, text_dim)`` or ``(1, tokens, text_dim)``, hidden states of the content word
                from Stable Diffusion's text encoder, read by the Text-Adapter alone.
        """
        _check_floating("image_feature", image_feature)
        if image_feature.ndim not in (2, 3):
            raise ValueError(
                "`image_feature` must have the shape (batch, dim) or (batch, levels, dim), "
                f"got {tuple(image_feature.shape)}. Add the batch axis with image_feature[None], "
                "or merge leading axes."
            )
        return self.edit(image_feature, text_feature, text_states)

    @abstractmethod
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        """Edit an image feature of the right rank and type."""

    def extra_repr(self) -> str:
        """The settings, as they appear in the printed module."""
        return ", ".join(f"{key}={value!r}" for key, value in self.settings.items())

    def text_per_level(self, e: Tensor, t: Tensor | None) -> Tensor:
        """The text feature in the rank of e, ``(batch or 1, dim)`` or ``(batch or 1, 1, dim)``.

        Raises ValueError where it is missing, not floating-point, or of a shape that does not fit.
        """
        batch, dim = e.shape[0], e.shape[-1]
        if t is None:
            raise ValueError(
                f"`text_feature` is missing: {type(self).__name__} expected the text feature of the content word "
                f"({batch}, {dim}), got None. Encode the content word with the text tower paired with the image "
                "encoder, or choose IPAdapter, which needs no text."
            )
        _check_floating("text_feature", t)
        if t.ndim != 2 or t.shape[0] not in (1, batch):
            raise ValueError(
                f"`text_feature` must have the shape ({batch}, {dim}) or (1, {dim}), "
                f"got {tuple(t.shape)}. Give one row for each image, or one row for all; "
                "levels share the row of their image."
            )
        if t.shape[-1] != dim:
            raise ValueError(
                f"`text_feature` must have the size {dim} of `image_feature`, got {t.shape[-1]}. "
                "Use text_embeds of the text tower that was trained with this image encoder, "
                "not of Stable Diffusion's text encoder."
            )
        return t if e.ndim == 2 else t[:, None]


def _check_floating(name: str, tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(
            f"`{name}` must be a floating-point tensor, got {type(tensor).__name__}. "
            "Pass the tensor itself, one entry where a list of embeddings is at hand."
        )
    if not tensor.is_floating_point():
        raise ValueError(
            f"`{name}` must be a floating-point tensor, got {tensor.dtype}. "
            f"Pass the encoder's embeddings, or convert with {name}.float()."
        )
