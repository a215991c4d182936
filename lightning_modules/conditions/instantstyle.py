"""InstantStyle (arXiv 2404.02733): the text feature of the content word is subtracted."""

from torch import Tensor
from typing_extensions import override

from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.checks import check_image_feature, text_feature_per_level
from lightning_modules.conditions.subtraction import subtract_content
from lightning_modules.finite import check_numbers


class InstantStyle(Condition):
    """v = e - strength * t, or v = e - strength * (|e| / |t|) * t where ``norm_matched``.

    A zero image feature stays zero only where ``norm_matched``; with raw norms it becomes -strength * t.

    Args:
        strength: lambda; 0 is IP-Adapter.
        norm_matched: rescale t to the norm of e, the convention on StyleShot; on IP-Adapter it is raw norms.

    Raises:
        ValueError: ``strength`` is not finite.
    """

    name = "instantstyle"

    def __init__(self, strength: float = 1.0, norm_matched: bool = False) -> None:
        super().__init__()
        check_numbers(strength=strength)
        self.strength = strength
        self.norm_matched = norm_matched

    @property
    def settings(self) -> dict[str, int | float | str | bool]:
        """Strength and convention of the norms."""
        return {"strength": self.strength, "norm_matched": self.norm_matched}

    @override
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Subtract the text feature from every level; see :meth:`Condition.forward`."""
        check_image_feature(image_feature)
        text = text_feature_per_level(image_feature, text_feature, type(self).__name__)
        return Conditioned(subtract_content(image_feature, text, self.strength, self.norm_matched))
