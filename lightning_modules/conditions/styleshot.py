"""StyleShot (arXiv 2407.01414): the style features of its three levels as they are."""

from torch import Tensor
from typing_extensions import override

from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.checks import check_levels


class StyleShot(Condition):
    """v = e on each level: the baseline on StyleShot, as IPAdapter is on an image encoder with one feature."""

    name = "styleshot"

    @override
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Return e ``(batch, 3, dim)`` unchanged; see :meth:`Condition.forward`."""
        check_levels(image_feature, type(self).__name__)
        return Conditioned(image_feature)
