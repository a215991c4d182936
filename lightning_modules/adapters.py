"""The two small networks that predict the content feature f, which is subtracted from the image feature e."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import override


class Adapter(nn.Module, ABC):
    """Linear layer and LayerNorm: f = LayerNorm(proj(x)), from ``(..., in_dim)`` to ``(..., dim)``.

    The state dict has exactly the keys ``proj.weight``, ``proj.bias``, ``norm.weight`` and ``norm.bias``.
    """

    name: str

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_dim, dim)
        self.norm = nn.LayerNorm(dim)

    @property
    def kind(self) -> str:
        """The class name, to be stored beside exported weights and checked when they are read."""
        return type(self).__name__

    @property
    def settings(self) -> dict[str, int]:
        """The constructor's arguments."""
        return {"dim": self.proj.out_features}

    def forward(self, image_feature: Tensor, text_states: Tensor | None = None) -> Tensor:
        """Predict f ``(batch, dim)``, by an ImageAdapter in the shape of ``image_feature``.

        Raises ValueError where what the adapter reads is missing or of another shape.
        """
        x = self.read(image_feature, text_states)
        feature: Tensor = self.norm(self.proj(x.to(self.proj.weight.dtype)))
        return feature

    @abstractmethod
    def read(self, image_feature: Tensor, text_states: Tensor | None) -> Tensor:
        """What f is predicted from, ``(..., in_dim)``."""


class ImageAdapter(Adapter):
    """Predicts the content feature from the image feature alone: f = A_I(e) (arXiv 2502.07466).

    Args:
        dim: size D of the image feature: 1024 for CLIP ViT-H/14, 1280 for ViT-bigG/14.
    """

    name = "image_adapter"

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim)

    @override
    def read(self, image_feature: Tensor, text_states: Tensor | None) -> Tensor:
        dim = self.proj.in_features
        if image_feature.shape[-1] != dim:
            raise ValueError(
                f"`image_feature` must have the last size {dim}, got the shape {tuple(image_feature.shape)}. "
                f"Build the adapter for this image encoder: ImageAdapter(dim={image_feature.shape[-1]})."
            )
        return image_feature


class TextAdapter(Adapter):
    """Predicts the content feature from the content word: f = A_T(mean hidden state) (arXiv 2502.07466).

    Args:
        dim: size D of the image feature: 1024 for CLIP ViT-H/14, 1280 for ViT-bigG/14.
        text_dim: size of the hidden states of Stable Diffusion's text encoder: 768 for Stable Diffusion 1.5.
    """

    name = "text_adapter"

    def __init__(self, dim: int, text_dim: int) -> None:
        super().__init__(text_dim, dim)

    @property
    @override
    def settings(self) -> dict[str, int]:
        return {**super().settings, "text_dim": self.proj.in_features}

    @override
    def read(self, image_feature: Tensor, text_states: Tensor | None) -> Tensor:
        """The mean of ``text_states`` ``(batch, tokens, text_dim)`` over the tokens, padding included."""
        text_dim, dim = self.proj.in_features, self.proj.out_features
        if text_states is None:
            raise ValueError(
                "`text_states` is missing: TextAdapter expected the hidden states of the content word "
                f"(batch, tokens, {text_dim}), got None. Encode the content word with Stable Diffusion's "
                "text encoder and pass its hidden states, or use an ImageAdapter."
            )
        if text_states.ndim != 3 or text_states.shape[-1] != text_dim:
            raise ValueError(
                f"`text_states` must have the shape (batch, tokens, {text_dim}), "
                f"got {tuple(text_states.shape)}. Pass the hidden states of Stable Diffusion's own text "
                "encoder, not a pooled feature; for another text encoder build "
                f"TextAdapter(dim={dim}, text_dim={text_states.shape[-1]})."
            )
        return text_states.mean(dim=1)


def load_adapter_weights(adapter: Adapter, state: Mapping[str, Tensor], kind: str | None = None) -> None:
    """Copy ``state``, whose keys have no prefix, into ``adapter``; ValueError where kind, keys or sizes do not fit.

    ``kind`` is :attr:`Adapter.kind` of the stored adapter where its file tells it. Without it an ImageAdapter and a
    TextAdapter of the same sizes (dim equal to text_dim) cannot be told apart.
    """
    if kind is not None and kind != adapter.kind:
        raise ValueError(
            f"`kind` of the weights must be {adapter.kind}, got {kind}. "
            f"Configure the adapter that was trained ({kind}), or point to a file of {adapter.kind}."
        )
    expected = adapter.state_dict()
    if set(state) != set(expected):
        raise ValueError(
            f"`state` must have exactly the keys {sorted(expected)}, "
            f"missing {sorted(set(expected) - set(state))}, unknown {sorted(set(state) - set(expected))}. "
            "Strip the prefix of the keys, or point to the file of a trained adapter."
        )
    sizes = {key: tuple(value.shape) for key, value in state.items()}
    differing = [key for key, value in expected.items() if tuple(value.shape) != sizes[key]]
    if differing:
        raise ValueError(
            f"`state` must fit {_describe(adapter.kind, tuple(adapter.proj.weight.shape))}, "
            f"got weights of {_describe(kind, sizes['proj.weight'])}; "
            f"sizes that differ: {', '.join(f'{key} {sizes[key]}' for key in differing)}. "
            "Configure the adapter that was trained, or point to a file of the configured one."
        )
    adapter.load_state_dict(state)


def _describe(kind: str | None, weight: tuple[int, ...]) -> str:
    """Name the adapter whose ``proj.weight`` has this shape, as the call that builds it."""
    if len(weight) != 2:
        return f"no adapter (proj.weight {weight})"
    dim, in_dim = weight
    is_image = kind == "ImageAdapter" if kind is not None else dim == in_dim
    return f"ImageAdapter(dim={dim})" if is_image else f"TextAdapter(dim={dim}, text_dim={in_dim})"
