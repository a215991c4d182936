"""What to load and how to sample: plain settings, importable without diffusers or transformers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from lightning_modules.finite import check_numbers

MINIATURE = Path(__file__).resolve().parents[2] / "weights" / "miniature"
DType = Literal["float32", "float16", "bfloat16"]
ContentLines = Literal["edges", "contour", "lineart"]
ReferenceFit = Literal["crop", "pad", "squash"]


@dataclass(frozen=True)
class Backbone:
    """Names of the frozen weights; each is a local path or a hub name `owner/name[@revision][/sub/folder]`.

    Args:
        model: diffusers folder of Stable Diffusion (unet, vae, text_encoder, tokenizer, scheduler), or one file
            (`.safetensors` or `.ckpt`) that holds all of its weights; "miniature" is the small one shipped with the
            project.
        image_encoder: folder of the CLIP image encoder; None: `image_encoder` within `model`.
        text_tower: folder of the CLIP text tower paired with `image_encoder`; None: `text_tower` within `model`.
        ip_adapter: IP-Adapter file (`.bin` or `.safetensors`); None: `ip_adapter.safetensors` within `model`.
        style_encoder: file of StyleShot's style-aware encoder, which takes the place of `image_encoder`; `ip_adapter`
            is then StyleShot's `ip.bin`.
        style_heads: attention heads of the style encoder, which its weights do not tell; 16 in the published one.
        style_permutations: orders of StyleShot's patches over which the style features are averaged; 0 is the
            canonical order.
        reference_fit: how references that are no squares become such ones: "crop" takes their middle; "pad" adds a
            margin in CLIP's mean grey; "squash" resizes them to 512 x 512 first, as the scripts of masking do.
        content_fusion: load StyleShot's content-fusion ControlNet too, which `ip.bin` holds: pictures can then
            follow content images.
        content_lines: the lines that this ControlNet was trained on, and that content images are therefore turned into:
            "edges" of Canny's method, the "contour" of HED (`Gaojunyao/StyleShot`), or the dark "lineart" of a drawing
            (`Gaojunyao/StyleShot_lineart`); None: not known, which takes edges and warns.
        vae: folder of another VAE than that of `model`, for example "madebyollin/sdxl-vae-fp16-fix".
        revision: commit, tag or branch of `model`, where it is a hub name.
        variant: variant of the weight files of `model`, for example "fp16".
        dtype: precision in which all frozen weights are held.
        vae_dtype: precision of the VAE; None: `dtype`, but float32 for a VAE that overflows in float16, as SDXL's does.
        model_config: diffusers folder of a model that is built like a `model` of one file, which does not say how it
            is built; only its settings and tokenizer are read.
    """

    model: str = "miniature"
    image_encoder: str | None = None
    text_tower: str | None = None
    ip_adapter: str | None = None
    style_encoder: str | None = None
    style_heads: int = 16
    style_permutations: int = 0
    content_fusion: bool = False
    vae: str | None = None
    revision: str | None = None
    variant: str | None = None
    dtype: DType = "float32"
    vae_dtype: DType | None = None
    reference_fit: ReferenceFit = "crop"
    content_lines: ContentLines | None = None
    model_config: str | None = None

    def __post_init__(self) -> None:
        dtypes, lines = get_args(DType), (*get_args(ContentLines), None)
        choices = {"dtype": dtypes, "vae_dtype": (*dtypes, None), "content_lines": lines}
        for name, known in (choices | {"reference_fit": get_args(ReferenceFit)}).items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(map(str, known))}; got {value!r}.")
        if self.content_fusion and self.style_encoder is None:
            raise ValueError(
                "`content_fusion` is StyleShot's, but `style_encoder` names none. Take a backbone with StyleShot, such "
                "as configs/backbone/miniature_styleshot.yaml, or set `content_fusion` to false."
            )

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch dtype that `dtype` names."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


Size = tuple[int, int]
TargetBlocks = Literal["all", "style", "style_layout"] | list[str]


@dataclass(frozen=True)
class MicroConditioning:
    """What SDXL is told of a picture's history (Podell et al., arXiv 2307.01952, section 2.2); others do not read it.

    Sizes are (height, width) in pixels; None: the size of the picture that is drawn.

    Args:
        original_size: size before it was resized for training; small ones give blurred pictures.
        crop_top_left: corner of the crop; (0, 0) centres the object.
        target_size: size of the picture.
        negative_original_size: the same of the unconditional half; None: as the conditional one.
        negative_crop_top_left: the same of the unconditional half; None: as the conditional one.
        negative_target_size: the same of the unconditional half; None: as the conditional one.
    """

    original_size: Size | None = None
    crop_top_left: Size = (0, 0)
    target_size: Size | None = None
    negative_original_size: Size | None = None
    negative_crop_top_left: Size | None = None
    negative_target_size: Size | None = None

    def time_ids(self, size: Size) -> list[int]:
        """The six numbers of the conditional half for a picture of `size`."""
        return [*(self.original_size or size), *self.crop_top_left, *(self.target_size or size)]

    def negative_time_ids(self, size: Size) -> list[int]:
        """The six numbers of the unconditional half."""
        original = self.negative_original_size or self.original_size
        corner = self.negative_crop_top_left or self.crop_top_left
        return MicroConditioning(original, corner, self.negative_target_size or self.target_size).time_ids(size)


@dataclass(frozen=True)
class SamplingSettings:
    """How a picture is sampled, apart from its prompt, reference and seed.

    Args:
        scheduler: class name of a diffusers scheduler; its parameters come from the model's own configuration.
        scheduler_options: parameters of that class which replace those of the model, for example
            `{use_karras_sigmas: true, timestep_spacing: trailing}`.
        eta: share of the noise of DDPM that DDIM and TCD add in each step, 0 .. 1; the other schedulers have none.
        steps: number of denoising steps, at least 1.
        guidance_scale: g of classifier-free guidance `eps_u + g * (eps_c - eps_u)`; no guidance at g <= 1.
        negative_prompt: text of the unconditional half, which reaches the picture only under guidance; None: what the
            model was trained with, the empty prompt or, on SDXL, zeros.
        prompt_suffix: appended to every prompt, for example ", best quality, high quality".
        scale: weight of the image tokens beside the text; one number for all `target_blocks`, or
            a number for each named block ("up_blocks.0.attentions.1"), all others being 0.
        target_blocks: blocks that attend to the image tokens: "all", "style" or "style_layout" (those that
            InstantStyle, arXiv 2404.02733, found to carry them), or names of blocks.
        height: of the pictures in pixels; None: what the model was trained for.
        width: of the pictures in pixels; None: what the model was trained for.
        micro_conditioning: sizes that SDXL is told.
        content_scale: weight of the content image's lines, for pictures that follow one; 0 ignores them.
        content_template: what the image encoder's text tower is told of a content, {} being its word; published on
            StyleShot for the CIFAR-based set: "A {}".
    """

    scheduler: str = "UniPCMultistepScheduler"
    scheduler_options: dict[str, Any] | None = None
    eta: float = 0.0
    steps: int = 30
    guidance_scale: float = 7.5
    negative_prompt: str | None = None
    prompt_suffix: str = ""
    scale: float | dict[str, float] = 1.0
    target_blocks: TargetBlocks = "all"
    height: int | None = None
    width: int | None = None
    micro_conditioning: MicroConditioning = MicroConditioning()
    content_scale: float = 1.0
    content_template: str = "{}"

    def __post_init__(self) -> None:
        check_numbers(scale=self.scale, guidance_scale=self.guidance_scale, content_scale=self.content_scale)
        if self.steps < 1:
            raise ValueError(f"`steps` must be at least 1; got {self.steps}.")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"`eta` must be a share, 0 .. 1; got {self.eta}.")
        if "{}" not in self.content_template:
            raise ValueError(
                f'`content_template` must hold {{}} in place of the content word, as "A {{}}" does; got '
                f"{self.content_template!r}."
            )
        if isinstance(self.scale, dict) and self.target_blocks != "all":
            raise ValueError(
                f"`scale` names blocks and `target_blocks` is {self.target_blocks!r}: both say which blocks attend to "
                'the image. Leave `target_blocks` at "all", or give one number as `scale`.'
            )

    def content_text(self, content: str) -> str:
        """What the image encoder's text tower is told of a content."""
        return self.content_template.replace("{}", content)

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs, which doubles the rows of each UNet call."""
        return self.guidance_scale > 1


@dataclass(frozen=True)
class ReferenceMix:
    """How several references of one picture come together.

    Args:
        combine: "mean" projects the weighted mean of their edited features; "tokens" gives each reference a set of
            image tokens and an attention of its own, whose outputs are averaged by weight.
        weights: of the references of each picture, in their order, at least 0; None: all equal. Only ratios count.
    """

    combine: Literal["mean", "tokens"] = "mean"
    weights: list[float] | None = None

    def __post_init__(self) -> None:
        check_numbers(weights=self.weights)
        if self.weights is not None and (min(self.weights, default=0) < 0 or sum(self.weights) <= 0):
            raise ValueError(f"`weights` must be numbers from 0 up, not all 0; got {self.weights}.")

    def shares(self, count: int) -> list[float]:
        """The weights of `count` references, which sum to 1; ValueError where there are more or fewer."""
        weights = self.weights or [1.0] * count
        if len(weights) != count:
            raise ValueError(
                f"`weights` must have one number for each of the {count} references of a picture; got {weights}. "
                "`references_per_picture` of the data says how many these are."
            )
        return [weight / sum(weights) for weight in weights]

    def mixed(self, features: torch.Tensor) -> tuple[list[torch.Tensor], list[float]]:
        """One set of features `(batch, ...)` or one a reference, of `(batch, references, ...)`; and their shares."""
        shares = self.shares(features.shape[1])
        if len(shares) == 1 or self.combine == "tokens":
            return list(features.unbind(1)), shares
        return [torch.tensordot(features, features.new_tensor(shares), dims=([1], [0]))], [1.0]


@dataclass(frozen=True)
class Runtime:
    """How the networks run; none of it decides what a picture shows.

    Args:
        offload: keep on the accelerator only the network that is at work, the others in main memory.
        channels_last: memory layout of the UNet and the VAE in which convolutions run faster on many devices.
        compile: `torch.compile` the UNet; the first call takes minutes, later ones are faster.
        vae_tiling: decode and encode large pictures in overlapping tiles, which bounds the VAE's memory.
    """

    offload: bool = False
    channels_last: bool = False
    compile: bool = False
    vae_tiling: bool = False


# They travel inside checkpoints as hyper-parameters, which are read back with `weights_only=True`.
torch.serialization.add_safe_globals([Backbone, MicroConditioning, SamplingSettings, ReferenceMix, Runtime])
