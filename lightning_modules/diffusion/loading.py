"""Loads the parts of a backbone and checks that they fit together."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from datamodules.reading import read_json, reading
from lightning_modules.diffusion.config import Backbone, DType, Runtime
from lightning_modules.diffusion.encoders import ContentEncoder, DualPromptEncoder, ImageEncoder, PromptEncoder
from lightning_modules.diffusion.hub import option
from lightning_modules.diffusion.ip_adapter import (
    build_projection,
    cross_attention_layers,
    install_attention,
    read_ip_adapter,
)
from lightning_modules.diffusion.schedulers import held_config
from lightning_modules.diffusion.single_file import find_model, load_single_file_part
from lightning_modules.diffusion.sources import (
    UNDAMAGED,
    Source,
    fetch_file,
    fetch_folder,
    find_source,
    load_pretrained,
)
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.diffusion.stable_diffusion_xl import StableDiffusionXL
from lightning_modules.diffusion.understood import check_added_width, check_pipeline, check_unet, check_vae
from lightning_modules.pretrained import check_processor, check_tokenizer

# Bytes of the byte-level alphabet: fewer entries mean that transformers made up an empty vocabulary.
_SMALLEST_VOCABULARY = 256


def load(backbone: Backbone, runtime: Runtime = Runtime()) -> StableDiffusion:
    """All networks that `backbone` names, loaded once, as the class that its pipeline calls for.

    Raises:
        FileNotFoundError: a name leads nowhere.
        ValueError: the parts do not fit together, or the pipeline is of a class without an entry in `FAMILIES`.
    """
    model = find_model(backbone)
    # Small, and therefore first: a wrong `model` is found out before anything large is loaded.
    pipeline_config = read_json(fetch_file(model.within("model_index.json"), "model"), option("model"), UNDAMAGED)
    family = _family(pipeline_config, model)
    scheduler_config = _load_scheduler_config(model.within("scheduler"))
    _check_configs(pipeline_config, model, backbone, family)
    prompt_encoder = family.load_prompt_encoder(model, backbone)
    content_encoder = _load_content_encoder(model, prompt_encoder, backbone)
    unet = _load_network(UNet2DConditionModel, model.within("unet"), "model", backbone, backbone.variant)
    load_image_path = _load_ip_adapter if backbone.style_encoder is None else _load_styleshot
    image_encoder, projection, controlnet = load_image_path(model, unet, backbone)
    _check_features(image_encoder, content_encoder, projection)
    return family.network(
        unet=unet,
        vae=_load_vae(model, backbone),
        prompt_encoder=prompt_encoder,
        content_encoder=content_encoder,
        image_encoder=image_encoder,
        image_projection=projection,
        scheduler_config=held_config(scheduler_config, family.mends_scheduler),
        controlnet=controlnet,
        pipeline_config=pipeline_config,
        runtime=runtime,
        reference_fit=backbone.reference_fit,
    )


def _opened(path: Path, argument: str) -> AbstractContextManager[None]:
    """In which whatever a file of weights causes is told with its name and argument."""
    expected = "Copy it again from where it is whole, or name another file made for the base in `model`."
    return reading(path, option(argument), expected, passing=(ValueError, OSError))


class Family(NamedTuple):
    """What a diffusers pipeline needs beyond what all have in common."""

    network: type[StableDiffusion]
    load_prompt_encoder: Callable[[Source, Backbone], nn.Module]
    added_embedding: str | None = None
    """The UNet's `addition_embed_type`."""
    normalises_latents: bool = True
    """Whether the pipeline reads the VAE's `latents_mean` and `latents_std`."""
    mends_scheduler: bool = False
    """Whether the pipeline changes the scheduler's configuration (`schedulers.held_config`)."""


def _load_prompt_encoder(model: Source, backbone: Backbone) -> PromptEncoder:
    return PromptEncoder(*_text_encoder(CLIPTextModel, model, backbone))


def _load_dual_prompt_encoder(model: Source, backbone: Backbone) -> DualPromptEncoder:
    first = _text_encoder(CLIPTextModel, model, backbone)
    second = _text_encoder(CLIPTextModelWithProjection, model, backbone, "_2")
    unet_config = load_pretrained(UNet2DConditionModel.load_config, model.within("unet"), "model")
    content_encoder = ContentEncoder(*second)
    check_added_width(unet_config, content_encoder.dim)
    return DualPromptEncoder(PromptEncoder(*first), content_encoder)


FAMILIES = {
    "StableDiffusionPipeline": Family(
        StableDiffusion, _load_prompt_encoder, normalises_latents=False, mends_scheduler=True
    ),
    "StableDiffusionXLPipeline": Family(StableDiffusionXL, _load_dual_prompt_encoder, "text_time"),
}
"""Pipeline classes of model_index.json that are known here."""


def _family(pipeline_config: Mapping[str, Any], model: Source) -> Family:
    name = str(pipeline_config.get("_class_name"))
    if name not in FAMILIES:
        raise ValueError(
            f"`model`: the pipeline in {model.repository!r} is a {name}; expected one of {', '.join(FAMILIES)}. "
            "Name a text-to-image base of one of these, or add its class to `FAMILIES` (docs/backbones.md)."
        )
    return FAMILIES[name]


def _check_configs(pipeline_config: Mapping[str, Any], model: Source, backbone: Backbone, family: Family) -> None:
    """Refuses by name what the configurations ask for and is not done here, before anything large is loaded."""
    check_pipeline(pipeline_config)
    vae, argument = _vae_source(model, backbone)
    vae_config = load_pretrained(AutoencoderKL.load_config, vae, argument)
    check_vae(vae_config, argument, family.normalises_latents)
    unet_config = load_pretrained(UNet2DConditionModel.load_config, model.within("unet"), "model")
    check_unet(unet_config, vae_config.get("latent_channels", 4), family.added_embedding)


def _load_scheduler_config(source: Source) -> Any:
    config = load_pretrained(DDPMScheduler.load_config, source, "model")
    with reading(Path(source.place), option("model"), UNDAMAGED):
        kept = DDPMScheduler.from_config(config).alphas_cumprod
        if not ((kept >= 0) & (kept <= 1)).all():
            raise ValueError("the scheduler's betas keep shares of the signal that are not within 0 .. 1")
    return config


def _part(model: Source, name: str | None, argument: str, default: str = "") -> Source:
    return find_source(name, argument) if name is not None else model.within(default or argument)


def _load_ip_adapter(model: Source, unet: Any, backbone: Backbone) -> tuple[Any, Any, None]:
    """The image encoder and P of an IP-Adapter, whose attention the UNet is given."""
    image_encoder = _load_image_encoder(_part(model, backbone.image_encoder, "image_encoder"), backbone)
    file = _part(model, backbone.ip_adapter, "ip_adapter", "ip_adapter.safetensors")
    path = fetch_file(file, "ip_adapter")
    with _opened(path, "ip_adapter"):
        weights = read_ip_adapter(path)
        projection = build_projection(weights.image_proj, unet.config.cross_attention_dim)
        install_attention(unet, weights.ip_adapter, projection.num_tokens)
    return image_encoder, projection.to(backbone.torch_dtype), None


def _load_styleshot(model: Source, unet: Any, backbone: Backbone) -> tuple[Any, Any, Any]:
    """The style-aware encoder, P and the ControlNet of StyleShot, whose attention the UNet is given."""
    from lightning_modules.styleshot.content_fusion import build_controlnet
    from lightning_modules.styleshot.weights import build_style_projection, load_style_encoder, read_styleshot

    file = fetch_file(find_source(str(backbone.style_encoder), "style_encoder"), "style_encoder")
    with _opened(file, "style_encoder"):
        encoder = load_style_encoder(file, backbone.style_heads, backbone.style_permutations).to(backbone.torch_dtype)
    file = fetch_file(_part(model, backbone.ip_adapter, "ip_adapter", "ip.bin"), "ip_adapter")
    controlnet = None
    with _opened(file, "ip_adapter"):
        weights = read_styleshot(file, cross_attention_layers(unet))
        projection = build_style_projection(weights.heads, encoder.dim, unet.config.cross_attention_dim)
        install_attention(unet, weights.attention, projection.num_tokens)
        if backbone.content_fusion:
            # diffusers' own `to` warns of layers that are to stay in float32, of which this network has none.
            controlnet = nn.Module.to(build_controlnet(unet, weights.controlnet), backbone.torch_dtype)
    return encoder, projection.to(backbone.torch_dtype), controlnet


def _text_encoder(network: Any, model: Source, backbone: Backbone, suffix: str = "") -> tuple[nn.Module, Any]:
    """A text encoder of `model` and its tokenizer."""
    folder = model.within(f"text_encoder{suffix}")
    loaded = _load_network(network, folder, "model", backbone, backbone.variant)
    return loaded, _load_tokenizer(model.within(f"tokenizer{suffix}"), "model", loaded)


def _load_content_encoder(model: Source, prompt_encoder: nn.Module, backbone: Backbone) -> ContentEncoder:
    """The paired text tower; by default SDXL's second text encoder, which is loaded already."""
    if backbone.text_tower is None and isinstance(prompt_encoder, DualPromptEncoder):
        return prompt_encoder.second
    source = _part(model, backbone.text_tower, "text_tower")
    network = _load_network(CLIPTextModelWithProjection, source, "text_tower", backbone)
    return ContentEncoder(network, _load_tokenizer(source, "text_tower", network))


def _load_vae(model: Source, backbone: Backbone) -> Any:
    """The VAE of `model`, or another one, which has no variants."""
    source, argument = _vae_source(model, backbone)
    variant = backbone.variant if argument == "model" else None
    overflows = load_pretrained(AutoencoderKL.load_config, source, argument).get("force_upcast", True)
    own_dtype: DType = "float32" if overflows and backbone.dtype == "float16" else backbone.dtype
    return _load_network(
        AutoencoderKL, source, argument, replace(backbone, dtype=backbone.vae_dtype or own_dtype), variant
    )


def _vae_source(model: Source, backbone: Backbone) -> tuple[Source, str]:
    """The folder of the VAE and the argument that names it."""
    return (model.within("vae"), "model") if backbone.vae is None else (find_source(backbone.vae, "vae"), "vae")


def _load_image_encoder(source: Source, backbone: Backbone) -> ImageEncoder:
    network = _load_network(CLIPVisionModelWithProjection, source, "image_encoder", backbone)
    folder = fetch_folder(source, "image_encoder")
    if (folder / "preprocessor_config.json").exists():
        processor = load_pretrained(CLIPImageProcessorPil.from_pretrained, source, "image_encoder")
        check_processor(processor, network, folder, option("image_encoder"), UNDAMAGED)
    else:
        # The published IP-Adapter encoders come without one: they use CLIP's own preprocessing.
        size = network.config.image_size
        processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return ImageEncoder(network, processor)


def _load_network(network: Any, source: Source, argument: str, backbone: Backbone, variant: str | None = None) -> Any:
    """A diffusers or transformers model in the backbone's precision; refuses weights with gaps."""
    if source.checkpoint and argument == "model":
        return load_single_file_part(network, source, backbone.torch_dtype)
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


def _load_tokenizer(source: Source, argument: str, network: Any) -> Any:
    tokenizer = load_pretrained(CLIPTokenizer.from_pretrained, source, argument)
    if len(tokenizer) < _SMALLEST_VOCABULARY:
        raise FileNotFoundError(
            f"`{argument}`: no vocabulary in {source.repository!r}. A CLIP tokenizer needs tokenizer.json, "
            "or vocab.json and merges.txt."
        )
    check_tokenizer(tokenizer, network, fetch_folder(source, argument), option(argument), UNDAMAGED)
    return tokenizer


def _check_features(images: Any, contents: ContentEncoder, projection: Any) -> None:
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
