"""Loads the parts of a backbone and checks that they fit together."""

from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.encoders import ContentEncoder, ImageEncoder, PromptEncoder
from lightning_modules.diffusion.ip_adapter import (
    ImageProjection,
    build_projection,
    install_attention,
    read_ip_adapter,
)
from lightning_modules.diffusion.sources import Source, fetch_file, find_source, load_pretrained

# Bytes of the byte-level alphabet: fewer entries mean that transformers made up an empty vocabulary.
_SMALLEST_VOCABULARY = 256


def load_parts(backbone: Backbone) -> dict[str, Any]:
    """The arguments of `StableDiffusion`, loaded from the places that `backbone` names.

    Raises:
        FileNotFoundError: a name leads nowhere.
        ValueError: the parts do not fit together.
    """
    model = find_source(backbone.model, "model", backbone.revision)
    # Small, and therefore first: a wrong `model` is found out before anything large is loaded.
    scheduler_config = load_pretrained(DDPMScheduler.load_config, model.within("scheduler"), "model")
    image_encoder = _load_image_encoder(_part(model, backbone.image_encoder, "image_encoder"), backbone)
    content_encoder = _load_content_encoder(_part(model, backbone.text_tower, "text_tower"), backbone)
    unet = _load_network(UNet2DConditionModel, model.within("unet"), "model", backbone, backbone.variant)
    file = _part(model, backbone.ip_adapter, "ip_adapter", "ip_adapter.safetensors")
    projection = _install_ip_adapter(unet, file, backbone)
    _check_features(image_encoder, content_encoder, projection)
    return {
        "unet": unet,
        "vae": _load_network(AutoencoderKL, model.within("vae"), "model", backbone, backbone.variant),
        "prompt_encoder": _load_prompt_encoder(model, backbone),
        "content_encoder": content_encoder,
        "image_encoder": image_encoder,
        "image_projection": projection,
        "scheduler_config": scheduler_config,
    }


def _part(model: Source, name: str | None, argument: str, default: str = "") -> Source:
    return find_source(name, argument) if name is not None else model.within(default or argument)


def _install_ip_adapter(unet: Any, source: Source, backbone: Backbone) -> ImageProjection:
    weights = read_ip_adapter(fetch_file(source, "ip_adapter"))
    projection = build_projection(weights.image_proj, unet.config.cross_attention_dim)
    install_attention(unet, weights.ip_adapter, projection.num_tokens)
    return projection.to(backbone.torch_dtype)


def _load_prompt_encoder(model: Source, backbone: Backbone) -> PromptEncoder:
    network = _load_network(CLIPTextModel, model.within("text_encoder"), "model", backbone, backbone.variant)
    return PromptEncoder(network, _load_tokenizer(model.within("tokenizer"), "model"))


def _load_content_encoder(source: Source, backbone: Backbone) -> ContentEncoder:
    network = _load_network(CLIPTextModelWithProjection, source, "text_tower", backbone)
    return ContentEncoder(network, _load_tokenizer(source, "text_tower"))


def _load_image_encoder(source: Source, backbone: Backbone) -> ImageEncoder:
    network = _load_network(CLIPVisionModelWithProjection, source, "image_encoder", backbone)
    try:
        processor = load_pretrained(CLIPImageProcessorPil.from_pretrained, source, "image_encoder")
    except FileNotFoundError:
        # The published IP-Adapter encoders come without one: they use CLIP's own preprocessing.
        size = network.config.image_size
        processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return ImageEncoder(network, processor)


def _load_network(network: Any, source: Source, argument: str, backbone: Backbone, variant: str | None = None) -> Any:
    """A diffusers or transformers model in the backbone's precision; refuses weights with gaps."""
    precision = "torch_dtype" if network.__module__.startswith("diffusers") else "dtype"
    options: dict[str, Any] = {precision: backbone.torch_dtype, "variant": variant}
    loaded, report = load_pretrained(network.from_pretrained, source, argument, output_loading_info=True, **options)
    missing = sorted(map(str, report["missing_keys"]))
    if missing:
        raise ValueError(
            f"`{argument}`: the weights in {source.repository!r} lack {len(missing)} of the tensors of a "
            f"{network.__name__}, first {missing[0]}. Name a complete folder of that class."
        )
    return loaded.to(torch.device("cpu"))


def _load_tokenizer(source: Source, argument: str) -> Any:
    tokenizer = load_pretrained(CLIPTokenizer.from_pretrained, source, argument)
    if len(tokenizer) < _SMALLEST_VOCABULARY:
        raise FileNotFoundError(
            f"`{argument}`: no vocabulary in {source.repository!r}. A CLIP tokenizer needs tokenizer.json, "
            "or vocab.json and merges.txt."
        )
    return tokenizer


def _check_features(images: ImageEncoder, contents: ContentEncoder, projection: ImageProjection) -> None:
    encoder: Any = images.model
    tower: Any = contents.model
    image_dim, text_dim = encoder.config.projection_dim, tower.config.projection_dim
    expected = projection.proj.in_features
    if image_dim != expected:
        raise ValueError(
            f"`image_encoder` gives features of size {image_dim}, but `ip_adapter` was trained on size {expected}. "
            "Use the image encoder that belongs to the adapter (1024: CLIP ViT-H/14, 1280: CLIP ViT-bigG/14)."
        )
    if text_dim != image_dim:
        raise ValueError(
            f"`text_tower` gives features of size {text_dim}, `image_encoder` of size {image_dim}. "
            "Use the text tower of the same CLIP model."
        )
