"""The image feature as it is, or less a content feature; and methods on some of StyleShot's levels."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from lightning_modules.adapters import Adapter
from lightning_modules.conditions.base import Condition, Conditioned
from lightning_modules.finite import check_numbers

Level = Literal["high", "middle", "low"]
LEVELS: tuple[Level, ...] = ("high", "middle", "low")
"""Levels of StyleShot's style feature ``(batch, 3, dim)``, from its large patches to its small ones."""


def subtract_content(image_feature: Tensor, content: Tensor, strength: float, norm_matched: bool) -> Tensor:
    """v = e - strength * c, or v = e - strength * (|e| / |c|) * c if ``norm_matched``, in at least float32.

    c is of a shape that broadcasts to that of e ``(..., dim)``, whose dtype v has. A zero row of e gives v = 0 if
    ``norm_matched``, else v = -strength * c; a zero row of c subtracts nothing.
    """
    dtype = torch.promote_types(image_feature.dtype, torch.float32)
    e, c = image_feature.to(dtype), content.to(dtype)
    if norm_matched:
        c = e.norm(dim=-1, keepdim=True) * functional.normalize(c, dim=-1)
    return (e - strength * c).to(image_feature.dtype)


class IPAdapter(Condition):
    """v = e (arXiv 2308.06721): the baseline, through which the content of the style reference leaks."""

    name = "ip_adapter"

    @override
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        return Conditioned(e)


class StyleShot(IPAdapter):
    """IPAdapter on the three levels of StyleShot (arXiv 2407.01414), under a name of its own."""

    name = "styleshot"

    @override
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        _check_levels(e, self)
        return super().edit(e, t, text_states)


class InstantStyle(Condition):
    """v = e - strength * t (arXiv 2404.02733), or v = e - strength * (|e| / |t|) * t where ``norm_matched``.

    Args:
        strength: lambda; 0 is IP-Adapter.
        norm_matched: rescale t to the norm of e, the convention on StyleShot; on IP-Adapter it is raw norms.
    """

    name = "instantstyle"
    _settings = "strength", "norm_matched"

    def __init__(self, strength: float = 1.0, norm_matched: bool = False) -> None:
        super().__init__()
        check_numbers(strength=strength)
        self.strength, self.norm_matched = strength, norm_matched

    @override
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        return Conditioned(subtract_content(e, self.text_per_level(e, t), self.strength, self.norm_matched))


class Adapted(Condition):
    """v = e - strength * (|e| / |f|) * f (arXiv 2502.07466), with the content feature f that the adapter predicts.

    Without ``rescale`` v = e - strength * f, as published for training; a zero image feature (dropped, unconditional)
    then becomes -strength * f, and stays zero otherwise.

    Args:
        adapter: :class:`ImageAdapter` or :class:`TextAdapter`; gradients reach its parameters.
        strength: lambda; 0 is IP-Adapter.
        rescale: rescale f to the norm of e, in training and inference alike.
    """

    def __init__(self, adapter: Adapter, strength: float = 1.0, rescale: bool = True) -> None:
        super().__init__()
        check_numbers(strength=strength)
        self.name, self.adapter = adapter.name, adapter
        self.strength, self.rescale = strength, rescale

    @property
    @override
    def settings(self) -> dict[str, int | float | str | bool]:
        return {**self.adapter.settings, "strength": self.strength, "rescale": self.rescale}

    @override
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        f = self.adapter(e, text_states)
        if f.shape[-1] != e.shape[-1]:
            raise ValueError(
                f"`adapter` must predict the size {e.shape[-1]} of `image_feature`, "
                f"got {f.shape[-1]}. Build the adapter with dim={e.shape[-1]}."
            )
        if f.shape[0] not in (1, e.shape[0]):
            raise ValueError(
                f"`text_states` must have the batch size {e.shape[0]} of `image_feature`, "
                f"or 1, got {f.shape[0]}. Give one content word for each image, or one for all."
            )
        return Conditioned(subtract_content(e, f[:, None] if f.ndim < e.ndim else f, self.strength, self.rescale))


class OnLevels(Condition):
    """v as ``condition`` edits e on the chosen levels, v = e on the others, where a mask keeps everything.

    Args:
        condition: the method, one that edits each level by itself; ValueError for an adapter, which was trained on
            whole features, and for another OnLevels.
        levels: names of StyleShot's levels, "high" (large patches), "middle" and "low" (small ones), in any order;
            ValueError where there are none, one is repeated, or another is named.
    """

    def __init__(self, condition: Condition, levels: list[Level]) -> None:
        super().__init__()
        if not levels or len(set(levels)) < len(levels) or not set(levels) <= set(LEVELS):
            raise ValueError(
                f"`levels` must name one or more of {', '.join(LEVELS)}, each once; got {levels!r}. "
                "For all levels leave OnLevels out: methods act on each level anyway."
            )
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
    @override
    def settings(self) -> dict[str, int | float | str | bool]:
        return {"levels": ", ".join(self.levels), "on_levels": self.condition.name, **self.condition.settings}

    @override
    def edit(self, e: Tensor, t: Tensor | None, text_states: Tensor | None) -> Conditioned:
        _check_levels(e, self)
        places = torch.tensor([LEVELS.index(level) for level in self.levels], device=e.device)
        edited: Conditioned = self.condition(e[:, places], t, text_states)
        feature = e.index_copy(1, places, edited.feature)
        if edited.keep_mask is None or edited.share_masked is None:
            return Conditioned(feature)
        kept = torch.ones_like(e, dtype=torch.bool).index_copy(1, places, edited.keep_mask)
        shares = edited.share_masked.new_zeros(e.shape[:2]).index_copy(1, places, edited.share_masked)
        return Conditioned(feature, kept, shares)


def _check_levels(e: Tensor, method: Condition) -> None:
    if e.ndim != 3 or e.shape[1] != len(LEVELS):
        raise ValueError(
            f"`image_feature` must have StyleShot's levels for {type(method).__name__}, (batch, {len(LEVELS)}, dim), "
            f"got {tuple(e.shape)}. Name StyleShot's `style_encoder` in the backbone, as "
            "configs/backbone/styleshot.yaml does; on one feature use IPAdapter in place of StyleShot, and a method "
            "without OnLevels."
        )
