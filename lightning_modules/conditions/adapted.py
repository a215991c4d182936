"""Image-Adapter and Text-Adapter (arXiv 2502.07466): a predicted content feature is subtracted."""

from torch import Tensor
from typing_extensions import override

from lightning_modules.adapters import Adapter
from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.checks import check_image_feature
from lightning_modules.conditions.subtraction import subtract_content
from lightning_modules.finite import check_numbers


class Adapted(Condition):
    """v = e - strength * (|e| / |f|) * f, with the content feature f that the adapter predicts.

    Without ``rescale`` v = e - strength * f, as published for training.
    A zero image feature (dropped, unconditional) stays zero where ``rescale``: v = 0 is what the
    unconditional tokens of guidance are made of. Without ``rescale`` it becomes v = -strength * f.

    Args:
        adapter: :class:`ImageAdapter` or :class:`TextAdapter`; gradients reach its parameters.
        strength: lambda; 0 is IP-Adapter.
        rescale: rescale f to the norm of e, in training and inference alike.

    Raises:
        ValueError: ``strength`` is not finite.
    """

    def __init__(self, adapter: Adapter, strength: float = 1.0, rescale: bool = True) -> None:
        super().__init__()
        check_numbers(strength=strength)
        self.name = adapter.name
        self.adapter = adapter
        self.strength = strength
        self.rescale = rescale

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """Sizes of the adapter, strength and convention of the norms."""
        return {**self.adapter.settings, "strength": self.strength, "rescale": self.rescale}

    @override
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Subtract the predicted content feature from every level; see :meth:`Condition.forward`."""
        check_image_feature(image_feature)
        content = self.adapter(image_feature, text_states)
        if content.shape[-1] != image_feature.shape[-1]:
            raise ValueError(
                f"`adapter` must predict the size {image_feature.shape[-1]} of `image_feature`, "
                f"got {content.shape[-1]}. Build the adapter with dim={image_feature.shape[-1]}."
            )
        if content.shape[0] not in (1, image_feature.shape[0]):
            raise ValueError(
                f"`text_states` must have the batch size {image_feature.shape[0]} of `image_feature`, "
                f"or 1, got {content.shape[0]}. Give one content word for each image, or one for all."
            )
        if content.ndim < image_feature.ndim:
            content = content[:, None]
        return Conditioned(subtract_content(image_feature, content, self.strength, self.rescale))
