"""The frozen encoders of text and images, each with its preprocessing, what they encoded once, and the VAE's pixels."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from lightning_modules.diffusion.config import ReferenceFit, Size

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
SQUASHED = (512, 512)  # as the published scripts call `Image.resize((512, 512))`, by Pillow's default bicubic filter
GREY = (122, 116, 104)  # CLIP's mean colour, which its image encoders read as zeros
_LONGEST_PADDED = 1024
_VAE_PIXELS = 2**20  # handled in one call: four images of 512 x 512, or 256 of 64 x 64


def frozen(method: F) -> F:
    """Runs a method without gradients or mixed precision, yielding ordinary tensors even in `torch.inference_mode`.

    Features encoded in validation are kept and serve training too, where autograd refuses inference tensors.
    """

    @wraps(method)
    def wrapper(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        mixed = torch.autocast(next(self.parameters()).device.type, enabled=False)
        with torch.inference_mode(False), torch.no_grad(), mixed:
            return method(self, *args, **kwargs)

    return cast(F, wrapper)


class Text(NamedTuple):
    """Encoded prompts, as a UNet is given them."""

    states: Tensor  # hidden states (n, tokens, text_dim)
    pooled: Tensor  # a vector for each prompt (n, pooled_dim); pooled_dim is 0 where the UNet reads none

    def expand(self, rows: int) -> "Text":
        """One prompt for `rows` rows."""
        return Text(*(part.expand(rows, *part.shape[1:]) for part in self))


class LatentMoments(NamedTuple):
    """Mean and standard deviation `(batch, channels, height, width)` of scaled latents."""

    mean: Tensor
    std: Tensor


class _Tower(nn.Module):
    """A CLIP model or tower."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def dim(self) -> int:
        """Size of the features."""
        return int(self.model.config.projection_dim)


class Tokens(_Tower):
    """Base of the text encoders, a CLIP text model and its tokenizer: prompts to token ids of fixed length."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model)
        self.tokenizer = tokenizer
        self.max_length = min(int(tokenizer.model_max_length), int(model.config.max_position_embeddings))

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
        options = {"padding": "max_length", "truncation": True, "max_length": self.max_length}
        ids: Tensor = self.tokenizer(list(texts), **options, return_tensors="pt")["input_ids"]
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
        towers = self.first, self.second
        first, second = (tower.model(tower.token_ids(prompts), output_hidden_states=True) for tower in towers)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return Text(states, second.text_embeds)


class ImageEncoder(_Tower):
    """A CLIPVisionModelWithProjection and its processor, which resizes, crops and normalises PIL images."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model)
        self.processor = processor

    @frozen
    def forward(self, images: Sequence[Image.Image]) -> Tensor:
        """Image features `(len(images), dim)` in float32, not normalised."""
        weight = next(self.parameters())
        pixels = self.processor(list(images), return_tensors="pt")["pixel_values"].to(weight)
        return self.model(pixels).image_embeds.float()


class EncodedOnce:
    """Encodes each item once and keeps the results.

    Args:
        apart: encode each by itself, not all new ones of a call together: beside others the last bits of an encoding
            differ, and training that was interrupted meets others.
    """

    def __init__(self, apart: bool = False) -> None:
        self.apart = apart
        self._kept: dict[tuple[str, str], tuple[Tensor, ...]] = {}

    def __call__(
        self, kind: str, keys: Sequence[str], items: Sequence[T], encode: Callable[[list[T]], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Encodings of `items`, which `keys` name within `kind`: tensors of `len(keys)` rows."""
        new = {key: item for key, item in zip(keys, items, strict=True) if (kind, key) not in self._kept}
        for some in [[name] for name in new] if self.apart else [list(new)] if new else []:
            encoded = encode([new[name] for name in some])
            self._kept.update(((kind, key), rows) for key, rows in zip(some, zip(*encoded, strict=True), strict=True))
        kept = [self._kept[kind, key] for key in keys]
        return tuple(map(torch.stack, zip(*kept, strict=True)))


def framed(image: Image.Image, fit: ReferenceFit, around: tuple[int, int, int] = GREY) -> Image.Image:
    """The image padded to a square with a margin `around` it (RGB, 0 .. 255), or squashed to `SQUASHED`.

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
    parts = _through(vae, pixels, pixels[0, 0].numel(), lambda vae, chunk: vae.encode(chunk).latent_dist)
    mean, std = (torch.cat([getattr(part, name) for part in parts]).float() for name in ("mean", "std"))
    scaling, (shift, spread) = vae.config.scaling_factor, _statistics(vae, mean)
    return LatentMoments((mean - shift) * scaling / spread, std * scaling / spread)


def decode_latents(vae: Any, latents: Tensor, step: int) -> Tensor:
    """As `StableDiffusion.decode`; `step` is how many pixels lie to one side of a latent's element."""
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
