"""IP-Adapter (arXiv 2308.06721): the image feature as it is."""

from torch import Tensor
from typing_extensions import override

from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.conditions.checks import check_image_feature


class IPAdapter(Condition):
    """v = e: the baseline, through which the content of the style reference leaks."""

    name = "ip_adapter"

    @override
    def forward(
        self, image_feature: Tensor, text_feature: Tensor | None = None, text_states: Tensor | None = None
    ) -> Conditioned:
        """Return e unchanged; see :meth:`Condition.forward`."""
        check_image_feature(image_feature)
        return Conditioned(image_feature)
