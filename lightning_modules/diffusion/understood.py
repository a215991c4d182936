"""What a model's configuration may say: what is honoured here. All else is refused by name, for nothing is ignored."""

import inspect
from collections.abc import Mapping
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel

Config = Mapping[str, Any]
# What would call for inputs that are not given here, and what the image attention cannot be put into.
_UNET = {
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "attention_type": "default",
    "dual_cross_attention": False,
    "only_cross_attention": False,
}
_BLOCKS = ("down_block_types", "mid_block_type", "up_block_types")
_PARTS = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel"},
    "text_encoder_2": {"CLIPTextModelWithProjection"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "tokenizer_2": {"CLIPTokenizer", "CLIPTokenizerFast"},
}
# The scheduler is read by itself; the others have no part in a picture from prompt and image feature.
_OTHERS = {"scheduler", "image_encoder", "safety_checker", "feature_extractor"}
_OPTIONS = {"force_zeros_for_empty_prompt", "requires_safety_checker"}


def check_pipeline(config: Config) -> None:
    """Refuses a model_index.json with parts or options that are unknown here.

    Raises:
        ValueError: with the name of the first.
    """
    for name, value in config.items():
        if name.startswith("_") or name in _OPTIONS | _OTHERS or not value or value == [None, None]:
            continue
        if not isinstance(value, list):
            raise _refused("model", "model_index.json", name, value, "no such option")
        if value[1] not in _PARTS.get(name, ()):
            raise _refused("model", "model_index.json", name, value[1], " or ".join(_PARTS.get(name, ["no such part"])))


def check_unet(config: Config, latent_channels: int, added_embedding: str | None) -> None:
    """Refuses a UNet that reads other inputs than latents, text, image tokens and those of its family.

    Args:
        config: the UNet's config.json.
        latent_channels: of the VAE's latents.
        added_embedding: the `addition_embed_type` of the family.

    Raises:
        ValueError: with the name of the first setting that is not understood.
    """
    config = _with_defaults(UNet2DConditionModel, config)
    channels = {"in_channels": latent_channels, "out_channels": latent_channels}
    for name, expected in {**_UNET, "addition_embed_type": added_embedding, **channels}.items():
        value = config[name]
        if value not in (expected, [expected] * len(value) if isinstance(value, list) else expected):
            raise _refused("model", "unet/config.json", name, value, expected)
    for name in _BLOCKS:
        if "SimpleCrossAttn" in str(config[name]):
            raise _refused("model", "unet/config.json", name, config[name], "blocks with the usual cross-attention")
    if config["sample_size"] is None:
        raise _refused("model", "unet/config.json", "sample_size", None, "the size of the latents it was trained for")
    if not isinstance(config["cross_attention_dim"], int):
        raise _refused("model", "unet/config.json", "cross_attention_dim", config["cross_attention_dim"], "one number")


def check_added_width(config: Config, pooled: int) -> None:
    """Refuses a UNet of SDXL that is told other numbers than the six sizes, such as an aesthetic score.

    Args:
        config: the UNet's config.json.
        pooled: size of the pooled text.

    Raises:
        ValueError: the widths do not fit.
    """
    name, expected = "projection_class_embeddings_input_dim", 6 * config["addition_time_embed_dim"] + pooled
    if config[name] != expected:
        raise _refused("model", "unet/config.json", name, config[name], f"{expected}, six sizes and the pooled text")


def check_vae(config: Config, argument: str, normalised: bool) -> None:
    """Refuses another class of VAE, and what the family's pipeline does not read.

    Args:
        config: its config.json.
        argument: which argument named it.
        normalised: whether the family reads `latents_mean` and `latents_std`.

    Raises:
        ValueError: with the name of the first setting that is not understood.
    """
    where = "the VAE's config.json"
    if (name := config.get("_class_name", "AutoencoderKL")) != "AutoencoderKL":
        raise _refused(argument, where, "_class_name", name, "AutoencoderKL")
    config = _with_defaults(AutoencoderKL, config)
    if config["shift_factor"]:
        raise _refused(argument, where, "shift_factor", config["shift_factor"], None)
    given = {name: config[name] for name in ("latents_mean", "latents_std") if config[name] is not None}
    for name, value in given.items():
        if not normalised:
            raise _refused(
                argument, where, name, value, "none, for the pipeline of Stable Diffusion 1 and 2 ignores it"
            )
        if len(given) < 2 or len(value) != config["latent_channels"]:
            raise _refused(argument, where, name, value, "both, a number for each latent channel")


def _with_defaults(kind: Any, config: Config) -> dict[str, Any]:
    """A configuration with what it leaves to the defaults of its class."""
    defaults = {name: each.default for name, each in inspect.signature(kind.__init__).parameters.items()}
    return {**defaults, **config}


def _refused(argument: str, where: str, name: str, value: object, expected: object) -> ValueError:
    return ValueError(
        f"`{argument}`: {where} sets `{name}` to {value!r}, which is not supported: expected {expected}. Name a "
        "text-to-image base of Stable Diffusion or SDXL without it."
    )
