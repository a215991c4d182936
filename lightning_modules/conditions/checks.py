"""Checks of the features where they enter a condition."""

from torch import Tensor

LEVELS = ("high", "middle", "low")
"""Levels of StyleShot's style feature ``(batch, 3, dim)``, from its large patches to its small ones."""


def check_image_feature(image_feature: Tensor) -> None:
    """Raise ValueError unless it is floating-point, ``(batch, dim)`` or ``(batch, levels, dim)``."""
    _check_floating("image_feature", image_feature)
    if image_feature.ndim not in (2, 3):
        raise ValueError(
            "`image_feature` must have the shape (batch, dim) or (batch, levels, dim), "
            f"got {tuple(image_feature.shape)}. Add the batch axis with image_feature[None], "
            "or merge leading axes."
        )


def check_levels(image_feature: Tensor, method: str) -> None:
    """Raise ValueError unless it is a style feature of StyleShot, floating-point ``(batch, 3, dim)``."""
    check_image_feature(image_feature)
    if image_feature.ndim != 3 or image_feature.shape[1] != len(LEVELS):
        raise ValueError(
            f"`image_feature` must have StyleShot's levels for {method}, (batch, {len(LEVELS)}, dim), got "
            f"{tuple(image_feature.shape)}. Name StyleShot's `style_encoder` in the backbone, as "
            "configs/backbone/styleshot.yaml does; on one feature use IPAdapter in place of StyleShot, and a method "
            "without OnLevels."
        )


def text_feature_per_level(image_feature: Tensor, text_feature: Tensor | None, method: str) -> Tensor:
    """Check the text feature ``(batch, dim)`` or ``(1, dim)`` and give it the image feature's rank.

    Returns:
        ``(batch or 1, dim)``, or ``(batch or 1, 1, dim)`` for an image feature with levels.

    Raises:
        ValueError: the text feature is missing, not floating-point, or of a shape that does not fit.
    """
    batch, dim = image_feature.shape[0], image_feature.shape[-1]
    if text_feature is None:
        raise ValueError(
            f"`text_feature` is missing: {method} expected the text feature of the content word "
            f"({batch}, {dim}), got None. Encode the content word with the text tower paired with the image "
            "encoder, or choose IPAdapter, which needs no text."
        )
    _check_floating("text_feature", text_feature)
    if text_feature.ndim != 2 or text_feature.shape[0] not in (1, batch):
        raise ValueError(
            f"`text_feature` must have the shape ({batch}, {dim}) or (1, {dim}), "
            f"got {tuple(text_feature.shape)}. Give one row for each image, or one row for all; "
            "levels share the row of their image."
        )
    if text_feature.shape[-1] != dim:
        raise ValueError(
            f"`text_feature` must have the size {dim} of `image_feature`, got {text_feature.shape[-1]}. "
            "Use text_embeds of the text tower that was trained with this image encoder, "
            "not of Stable Diffusion's text encoder."
        )
    return text_feature if image_feature.ndim == 2 else text_feature[:, None]


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError where ``tensor`` holds NaN or infinity, which a mask would hide."""
    if not tensor.isfinite().all():
        raise ValueError(
            f"`{name}` must be finite, got NaN or infinity. "
            "Encode in float32 (or bfloat16): float16 overflows in some encoders."
        )


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
