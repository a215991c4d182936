"""The frozen encoders of text and images, each with the preprocessing that belongs to it, and the VAE's pixels."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from lightning_modules.diffusion.config import ReferenceFit, Size

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=nn.Module)
SQUASHED = (512, 512)
"""As the published scripts call `Image.resize((512, 512))`, by Pillow's default bicubic filter."""
GREY = (122, 116, 104)
"""CLIP's mean colour, which its image encoders read as zeros."""
_LONGEST_PADDED = 1024
# Pixels that the VAE handles in one call: four images of 512 x 512, or 256 of 64 x 64.
_VAE_PIXELS = 2**20


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


class LatentMoments(NamedTuple):
    """Mean and standard deviation `(batch, channels, height, width)` of scaled latents."""

    mean: Tensor
    std: Tensor


class Tokens(nn.Module):
    """Base of the text encoders, a CLIP text model and its tokenizer: prompts to token ids of fixed length."""

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
    """SDXL's two text encoders, CLIP's ViT-L/14 and OpenCLIP's ViT-bigG/14 (arXiv 2307.01952, section 2.1)."""

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
    """A CLIPVisionModelWithProjection and its processor, which resizes, crops and normalises PIL images."""

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


def framed(image: Image.Image, fit: ReferenceFit, around: tuple[int, int, int] = GREY) -> Image.Image:
    """The image padded to a square with a margin `around` it (RGB, 0 .. 255), squashed to `SQUASHED`, or as it is.

    "crop" leaves it as it is, for each encoder scales and crops by itself.
    """
    if fit == "squash":
        return image.convert("RGB").resize(SQUASHED)
    if fit == "pad":
        side = min(max(image.size), _LONGEST_PADDED)
        return ImageOps.pad(image.convert("RGB"), (side, side), color=around)
    return image


def say_what_is_lost(keys: Iterable[str], images: Iterable[Image.Image]) -> None:
    """Warns of each image of which the middle square is less than two thirds."""
    for key, image in zip(keys, images, strict=True):
        if 3 * min(image.size) < 2 * max(image.size):
            warnings.warn(
                f"Of {key!r} ({image.width} x {image.height} pixels) only the middle square is read, by which it loses "
                "more than a third. `--model.backbone.reference_fit pad` or `squash` shows the whole.",
                stacklevel=2,
            )


def encode_pixels(vae: Any, pixels: Tensor) -> LatentMoments:
    """Moments, float32, of the scaled latents of pixels `(batch, 3, height, width)` in -1 .. 1."""
    means, deviations = zip(*_through(vae, pixels, pixels[0, 0].numel(), _moments), strict=True)
    mean, std = torch.cat(means).float(), torch.cat(deviations).float()
    scaling, (shift, spread) = vae.config.scaling_factor, _statistics(vae, mean)
    return LatentMoments((mean - shift) * scaling / spread, std * scaling / spread)


def decode_latents(vae: Any, latents: Tensor, step: int) -> Tensor:
    """Pictures `(batch, 3, height, width)`, float32 in 0 .. 1, of scaled latents; NaN where one is not finite.

    `step` is how many pixels lie to one side of a latent's element.
    """
    finite = latents.isfinite().flatten(1).all(1)
    shift, spread = _statistics(vae, latents)
    latents = latents * spread / vae.config.scaling_factor + shift
    chunks = _through(vae, latents, latents[0, 0].numel() * step**2, lambda vae, chunk: vae.decode(chunk).sample)
    decoded = torch.cat(chunks).float()
    finite &= decoded.isfinite().flatten(1).all(1)
    return (decoded / 2 + 0.5).clamp(0, 1).where(finite[:, None, None, None], torch.nan)


def _through(vae: Any, rows: Tensor, pixels: int, run: Callable[[Any, Tensor], Any]) -> list[Any]:
    """What `run` gives of as many rows of so many pixels at a time as the VAE may handle, in its precision."""
    weight = vae.decoder.conv_in.weight
    with torch.autocast(weight.device.type, enabled=False):  # some VAEs overflow in float16
        return [run(vae, chunk.to(weight)) for chunk in rows.split(max(1, _VAE_PIXELS // pixels))]


def _moments(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    distribution = vae.encode(pixels).latent_dist
    return distribution.mean, distribution.std


def _statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread `(channels or 1, 1, 1)` by which the VAE's latents are normalised: 0 and 1 if it has none."""
    parts = vae.config.latents_mean or [0.0], vae.config.latents_std or [1.0]
    mean, std = (torch.tensor(part).view(-1, 1, 1).to(latents) for part in parts)
    return mean, std


def to_pixels(image: Image.Image, size: Size) -> Tensor:
    """Pixels `(3, *size)` in -1 .. 1, of the centre."""
    height, width = size
    fitted = image.convert("RGB")
    if fitted.size != (width, height):
        fitted = ImageOps.fit(fitted, (width, height), Image.Resampling.BICUBIC)
    flat = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return flat.view(height, width, 3).permute(2, 0, 1).to(torch.float32) / 127.5 - 1
