"""What a model's configuration may say: what is honoured here. All else is refused by name, for nothing is ignored."""

import inspect
from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel

Config = Mapping[str, Any]
# What would call for inputs that are not given here, and what the image attention cannot be put into.
_UNET = {
    **dict.fromkeys(["class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type"]),
    **dict.fromkeys(["dual_cross_attention", "only_cross_attention"], False),
    "attention_type": "default",
}
_PARTS = {
    **dict.fromkeys(["tokenizer", "tokenizer_2"], ("CLIPTokenizer", "CLIPTokenizerFast")),
    **{"unet": ("UNet2DConditionModel",), "vae": ("AutoencoderKL",)},
    **{"text_encoder": ("CLIPTextModel",), "text_encoder_2": ("CLIPTextModelWithProjection",)},
}
# The scheduler is read by itself; the others have no part in a picture from prompt and image feature.
_OTHERS = {"scheduler", "image_encoder", "safety_checker", "feature_extractor"}
_OPTIONS = {"force_zeros_for_empty_prompt", "requires_safety_checker"}


def check_pipeline(config: Config) -> None:
    """Raises ValueError for the first part or option of a model_index.json that is unknown here."""
    for name, value in config.items():
        if name.startswith("_") or name in _OPTIONS | _OTHERS or not value or value == [None, None]:
            continue
        if not isinstance(value, list):
            raise _refused("model", "model_index.json", name, value, "no such option")
        if value[1] not in _PARTS.get(name, ()):
            raise _refused("model", "model_index.json", name, value[1], " or ".join(_PARTS.get(name, ["no such part"])))


def check_one_file(model: str, model_config: str | None) -> None:
    """Raises ValueError where a model of one file comes without the folder that says how it is built, or vice versa."""
    if model.endswith((".safetensors", ".ckpt")) != (model_config is not None):
        raise ValueError(
            f"`model_config` must be given with a `model` of one file, and only then; got {model_config!r} "
            f"with {model!r}. For a file name a diffusers folder that is built like it, such as "
            "stable-diffusion-v1-5/stable-diffusion-v1-5 or stabilityai/stable-diffusion-xl-base-1.0, or convert it to "
            "a folder: `diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)`."
        )


def check_unet(config: Config, latent_channels: int, added_embedding: str | None) -> None:
    """Raises ValueError for a UNet that reads other inputs than latents, text, image tokens and those of its family."""
    config, where = _with_defaults(UNet2DConditionModel, config), "unet/config.json"
    channels = {"in_channels": latent_channels, "out_channels": latent_channels}
    for name, expected in {**_UNET, "addition_embed_type": added_embedding, **channels}.items():
        value = config[name]
        if value not in (expected, [expected] * len(value) if isinstance(value, list) else expected):
            raise _refused("model", where, name, value, expected)
    for name in ("down_block_types", "mid_block_type", "up_block_types"):
        if "SimpleCrossAttn" in str(config[name]):
            raise _refused("model", where, name, config[name], "blocks with the usual cross-attention")
    for name, kinds, expected in (
        ("sample_size", (int, list, tuple), "the size of the latents it was trained for"),
        ("cross_attention_dim", int, "one number"),
    ):
        if not isinstance(config[name], kinds):
            raise _refused("model", where, name, config[name], expected)


def check_added_width(config: Config, pooled: int) -> None:
    """Raises ValueError for a UNet that is told other numbers than a text of size `pooled` and SDXL's six sizes."""
    name, expected = "projection_class_embeddings_input_dim", 6 * config["addition_time_embed_dim"] + pooled
    if config[name] != expected:
        raise _refused("model", "unet/config.json", name, config[name], f"{expected}, six sizes and the pooled text")


def check_vae(config: Config, argument: str, normalised: bool) -> None:
    """Raises ValueError for another VAE than AutoencoderKL, and for means that are not `normalised` in this family."""
    where, config = "the VAE's config.json", {"_class_name": "AutoencoderKL", **_with_defaults(AutoencoderKL, config)}
    for name, expected in (("_class_name", "AutoencoderKL"), ("shift_factor", None)):
        if (config[name] or None) != expected:
            raise _refused(argument, where, name, config[name], expected)
    given = {name: config[name] for name in ("latents_mean", "latents_std") if config[name] is not None}
    for name, value in given.items():
        if not normalised:
            raise _refused(
                argument, where, name, value, "none, for the pipeline of Stable Diffusion 1 and 2 ignores it"
            )
        if len(given) < 2 or len(value) != config["latent_channels"]:
            raise _refused(argument, where, name, value, "both, a number for each latent channel")


def check_features(images: Any, contents: Any, projection: Any) -> None:
    """Raises ValueError where the image encoder, its text tower and the adapter's projection are no set."""
    if images.dim != projection.dim:
        raise ValueError(
            f"`image_encoder` gives features of size {images.dim}, but `ip_adapter` was trained on size "
            f"{projection.dim}. Use the image encoder that belongs to the adapter (1024: CLIP ViT-H/14, 1280: CLIP "
            "ViT-bigG/14)."
        )
    if contents.dim != images.dim:
        raise ValueError(
            f"`text_tower` gives features of size {contents.dim}, `image_encoder` of size {images.dim}. "
            "Use the text tower of the same CLIP model."
        )


def _with_defaults(kind: Any, config: Config) -> dict[str, Any]:
    """A configuration with what it leaves to the defaults of its class."""
    defaults = {name: each.default for name, each in inspect.signature(kind.__init__).parameters.items()}
    return {**defaults, **config}


def _refused(argument: str, where: str, name: str, value: object, expected: object) -> ValueError:
    return ValueError(
        f"`{argument}`: {where} sets `{name}` to {value!r}, which is not supported: expected {expected}. Name a "
        "text-to-image base of Stable Diffusion or SDXL without it."
    )
