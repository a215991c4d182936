"""The frozen encoders of text and images, each with the preprocessing that belongs to it."""

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=nn.Module)


def frozen(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Runs a method without gradients, yielding ordinary tensors even inside `torch.inference_mode`.

    Features encoded during validation are kept and serve training too, where autograd refuses inference tensors. They
    are the same wherever they were encoded: mixed precision, which a step has and a hook has not, stays outside.
    """

    @wraps(method)
    def wrapper(self: M, *args: P.args, **kwargs: P.kwargs) -> R:
        mixed = torch.autocast(next(self.parameters()).device.type, enabled=False)
        with torch.inference_mode(False), torch.no_grad(), mixed:
            return method(self, *args, **kwargs)

    return wrapper


class Text(NamedTuple):
    """Encoded prompts, as a UNet is given them."""

    states: Tensor
    """Hidden states (n, tokens, text_dim)."""
    pooled: Tensor
    """One vector for each prompt (n, pooled_dim); pooled_dim is 0 where the UNet reads none."""

    def expand(self, rows: int) -> "Text":
        """One prompt for `rows` rows."""
        return Text(*(part.expand(rows, *part.shape[1:]) for part in self))


class Tokens(nn.Module):
    """Base of the text encoders: prompts to token ids of fixed length on the model's device.

    Args:
        model: a CLIP text model of transformers.
        tokenizer: the CLIP tokenizer that belongs to it.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        config: Any = model.config
        self.max_length = min(int(tokenizer.model_max_length), int(config.max_position_embeddings))

    def token_ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids `(len(texts), max_length)`, padded; warns of each text that had to be cut."""
        lengths = map(len, self.tokenizer(list(texts), verbose=False)["input_ids"])
        for text, length in zip(texts, lengths, strict=True):
            if length > self.max_length:
                warnings.warn(
                    f"The prompt {text!r} has {length} tokens and was cut to the {self.max_length} "
                    "that the text encoder reads.",
                    stacklevel=2,
                )
        ids: Tensor = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        )["input_ids"]
        return ids.to(next(self.parameters()).device)


class PromptEncoder(Tokens):
    """Stable Diffusion's own text encoder."""

    @frozen
    def forward(self, prompts: Sequence[str]) -> Text:
        """Last hidden states `(len(prompts), max_length, text_dim)`, and nothing pooled."""
        states: Tensor = self.model(self.token_ids(prompts)).last_hidden_state
        return Text(states, states.new_zeros(len(states), 0))


class ContentEncoder(Tokens):
    """The CLIP text tower that shares its feature space with the image encoder."""

    @property
    def dim(self) -> int:
        """Size of the features."""
        config: Any = self.model.config
        return int(config.projection_dim)

    @frozen
    def forward(self, contents: Sequence[str]) -> Tensor:
        """Text features `(len(contents), dim)` in float32, not normalised."""
        return self.model(self.token_ids(contents)).text_embeds.float()


class DualPromptEncoder(nn.Module):
    """SDXL's two text encoders (Podell et al., arXiv 2307.01952, section 2.1).

    Args:
        first: CLIP ViT-L/14's text encoder and its tokenizer.
        second: OpenCLIP ViT-bigG/14's text encoder with projection and its tokenizer.
    """

    def __init__(self, first: PromptEncoder, second: ContentEncoder) -> None:
        super().__init__()
        self.first, self.second = first, second

    @frozen
    def forward(self, prompts: Sequence[str]) -> Text:
        """Second to last hidden states of both `(len(prompts), tokens, dim1 + dim2)`, and the second's feature."""
        outputs = [
            tower.model(tower.token_ids(prompts), output_hidden_states=True) for tower in (self.first, self.second)
        ]
        states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return Text(states, outputs[1].text_embeds)


class ImageEncoder(nn.Module):
    """A CLIP image encoder and its processor.

    Args:
        model: a CLIPVisionModelWithProjection.
        processor: callable that resizes, crops and normalises PIL images.
    """

    def __init__(self, model: nn.Module, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    @property
    def dim(self) -> int:
        """Size of the features."""
        config: Any = self.model.config
        return int(config.projection_dim)

    @frozen
    def forward(self, images: Sequence[Image.Image]) -> Tensor:
        """Image features `(len(images), dim)` in float32, not normalised."""
        weight = next(self.parameters())
        pixels = self.processor(list(images), return_tensors="pt")["pixel_values"].to(weight)
        return self.model(pixels).image_embeds.float()
