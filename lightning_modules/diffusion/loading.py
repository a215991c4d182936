"""Loads the parts of a backbone and checks that they fit together."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm, load_single_file_checkpoint
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from datamodules.reading import read_json, reading
from lightning_modules.diffusion import ip_adapter, understood
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.encoders import ContentEncoder, DualPromptEncoder, ImageEncoder, PromptEncoder
from lightning_modules.diffusion.schedulers import held_config
from lightning_modules.hub import UNDAMAGED, Source, fetch_file, fetch_folder, find_source, load_pretrained
from lightning_modules.hub_cache import option
from lightning_modules.tensor_files import check_processor, check_tokenizer

_ADAPTER: dict[str, Any] = {
    "expected": "Copy it again from where it is whole, or name another file made for the base in `model`.",
    "passing": (ValueError, OSError),
}
_SMALLEST_VOCABULARY = 256  # bytes of the byte-level alphabet: of fewer entries transformers made up an empty one


class Family(NamedTuple):
    """What a diffusers pipeline needs beyond what all have in common."""

    load_prompt_encoder: Callable[["_Loader"], nn.Module]
    added_embedding: str | None = None  # the UNet's `addition_embed_type`
    normalises_latents: bool = True  # whether it reads the VAE's `latents_mean` and `latents_std`
    mends_scheduler: bool = False  # whether it changes the scheduler's configuration (`schedulers.held_config`)


def load_parts(backbone: Backbone) -> dict[str, Any]:
    """All networks that `backbone` names, loaded once: the arguments of `StableDiffusion`.

    Raises FileNotFoundError where a name leads nowhere, and ValueError where the parts do not fit together, or the
    pipeline is of a class without an entry in `FAMILIES`.
    """
    model, checkpoint = find_source(backbone.model, "model", backbone.revision), None
    understood.check_one_file(backbone.model, backbone.model_config)
    if backbone.model_config is not None:  # which tells how the one file is built
        model, checkpoint = find_source(backbone.model_config, "model_config"), fetch_file(model, "model")
    loader = _Loader(backbone, model, checkpoint)
    # Small, and therefore first: a wrong `model` is found out before anything large is loaded.
    pipeline_config = read_json(fetch_file(model.within("model_index.json"), "model"), option("model"), UNDAMAGED)
    name = str(pipeline_config.get("_class_name"))
    if name not in FAMILIES:
        raise ValueError(
            f"`model`: the pipeline in {model.repository!r} is a {name}; expected one of {', '.join(FAMILIES)}. "
            "Name a text-to-image base of one of these, or add its class to `FAMILIES` (docs/backbones.md)."
        )
    family = FAMILIES[name]
    scheduler_config = held_config(loader.scheduler_config(), family.mends_scheduler)
    # Before anything large is loaded, what the configurations ask for and is not done here is refused by name.
    understood.check_pipeline(pipeline_config)
    vae_config = load_pretrained(AutoencoderKL.load_config, *loader.vae_source)
    understood.check_vae(vae_config, loader.vae_source[1], family.normalises_latents)
    understood.check_unet(loader.unet_config(), vae_config.get("latent_channels", 4), family.added_embedding)
    prompt_encoder = family.load_prompt_encoder(loader)
    content_encoder = loader.content_encoder(prompt_encoder)
    unet = loader.network(UNet2DConditionModel, model.within("unet"), "model", backbone.variant)
    load_image_path = loader.ip_adapter if backbone.style_encoder is None else loader.styleshot
    image_encoder, projection, controlnet = load_image_path(unet)
    understood.check_features(image_encoder, content_encoder, projection)
    return {
        "unet": unet,
        "vae": loader.vae(vae_config),
        "prompt_encoder": prompt_encoder,
        "content_encoder": content_encoder,
        "image_encoder": image_encoder,
        "image_projection": projection.to(backbone.torch_dtype),
        "scheduler_config": scheduler_config,
        "controlnet": controlnet,
        "pipeline_config": pipeline_config,
        "reference_fit": backbone.reference_fit,
    }


class _Loader(NamedTuple):
    """Loads the parts of `backbone`: of the folder `model`, or with its weights from the file `checkpoint`."""

    backbone: Backbone
    model: Source
    checkpoint: Path | None

    def scheduler_config(self) -> Any:
        source = self.model.within("scheduler")
        config = load_pretrained(DDPMScheduler.load_config, source, "model", ("scheduler_config.json",))
        with reading(Path(source.place), option("model"), UNDAMAGED):
            kept = DDPMScheduler.from_config(dict(config)).alphas_cumprod
            if not ((kept >= 0) & (kept <= 1)).all():
                raise ValueError("the scheduler's betas keep shares of the signal that are not within 0 .. 1")
        return config

    def unet_config(self) -> Any:
        return load_pretrained(UNet2DConditionModel.load_config, self.model.within("unet"), "model")

    def text_encoder(self, kind: Any, suffix: str = "") -> tuple[nn.Module, Any]:
        """A text encoder of `model` and its tokenizer."""
        network = self.network(kind, self.model.within(f"text_encoder{suffix}"), "model", self.backbone.variant)
        return network, _load_tokenizer(self.model.within(f"tokenizer{suffix}"), "model", network)

    def content_encoder(self, prompt_encoder: nn.Module) -> ContentEncoder:
        """The paired text tower; by default SDXL's second text encoder, which is loaded already."""
        if self.backbone.text_tower is None and isinstance(prompt_encoder, DualPromptEncoder):
            return prompt_encoder.second
        source = self._part("text_tower")
        network = self.network(CLIPTextModelWithProjection, source, "text_tower")
        return ContentEncoder(network, _load_tokenizer(source, "text_tower", network))

    def vae(self, config: Mapping[str, Any]) -> Any:
        """The VAE of `model`, or another one, which has no variants."""
        source, argument = self.vae_source
        variant = self.backbone.variant if argument == "model" else None
        overflows = config.get("force_upcast", True)
        own = "float32" if overflows and self.backbone.dtype == "float16" else self.backbone.dtype
        dtype = getattr(torch, self.backbone.vae_dtype or own)
        return self.network(AutoencoderKL, source, argument, variant, dtype)

    def ip_adapter(self, unet: Any) -> tuple[Any, Any, None]:
        """The image encoder and P of an IP-Adapter, whose attention the UNet is given."""
        source = self._part("image_encoder")
        network = self.network(CLIPVisionModelWithProjection, source, "image_encoder")
        path = fetch_file(self._part("ip_adapter", "ip_adapter.safetensors"), "ip_adapter")
        with reading(path, option("ip_adapter"), **_ADAPTER):
            weights = ip_adapter.read_ip_adapter(path)
            projection = ip_adapter.build_projection(weights.image_proj, unet.config.cross_attention_dim)
            ip_adapter.install_attention(unet, weights.ip_adapter, projection.num_tokens)
        return ImageEncoder(network, _load_processor(source, network)), projection, None

    def styleshot(self, unet: Any) -> tuple[Any, Any, Any]:
        """The style-aware encoder, P and the ControlNet of StyleShot, whose attention the UNet is given."""
        from lightning_modules.styleshot import weights as styleshot

        backbone, dtype, controlnet = self.backbone, self.backbone.torch_dtype, None
        path = fetch_file(self._part("style_encoder"), "style_encoder")
        with reading(path, option("style_encoder"), **_ADAPTER):
            encoder = styleshot.load_style_encoder(path, backbone.style_heads, backbone.style_permutations).to(dtype)
        path = fetch_file(self._part("ip_adapter", "ip.bin"), "ip_adapter")
        with reading(path, option("ip_adapter"), **_ADAPTER):
            weights = styleshot.read_styleshot(path, ip_adapter.cross_attention_layers(unet))
            projection = styleshot.build_style_projection(weights.heads, encoder.dim, unet.config.cross_attention_dim)
            ip_adapter.install_attention(unet, weights.attention, projection.num_tokens)
            if backbone.content_fusion:
                # diffusers' own `to` warns of layers that are to stay in float32, of which this network has none.
                controlnet = nn.Module.to(styleshot.build_controlnet(unet, weights.controlnet), dtype)
        return encoder, projection, controlnet

    def network(
        self, kind: Any, source: Source, argument: str, variant: str | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        """A diffusers or transformers model in the backbone's precision; refuses weights with gaps."""
        dtype = dtype or self.backbone.torch_dtype
        if self.checkpoint and argument == "model":
            return _load_of_one_file(kind, self.checkpoint, source, dtype)
        precision = "torch_dtype" if kind.__module__.startswith("diffusers") else "dtype"
        options: dict[str, Any] = {precision: dtype, "variant": variant, "output_loading_info": True}
        loaded, report = load_pretrained(kind.from_pretrained, source, argument, **options)
        if missing := sorted(map(str, report["missing_keys"])):
            raise ValueError(
                f"`{argument}`: the weights in {source.repository!r} lack {len(missing)} of the tensors of a "
                f"{kind.__name__}, first {missing[0]}. Name a complete folder of that class."
            )
        return loaded.to(torch.device("cpu"))

    def _part(self, argument: str, default: str = "") -> Source:
        name = getattr(self.backbone, argument)
        return find_source(name, argument) if name is not None else self.model.within(default or argument)

    @property
    def vae_source(self) -> tuple[Source, str]:
        return self._part("vae"), "model" if self.backbone.vae is None else "vae"


def _load_of_one_file(kind: Any, checkpoint: Path, source: Source, dtype: torch.dtype) -> Any:
    """One network of a file that holds a whole model, built as the folder `source` says; diffusers reads it."""
    config = str(fetch_folder(source, "model_config", required=("config.json",)))
    options = {"config": config, "torch_dtype": dtype, "local_files_only": True}
    try:
        if hasattr(kind, "from_single_file"):
            loaded = kind.from_single_file(str(checkpoint), **options)
        else:
            weights = load_single_file_checkpoint(str(checkpoint), local_files_only=True)
            loaded = create_diffusers_clip_model_from_ldm(kind, weights, **options)
        missing = [name for name, tensor in loaded.state_dict().items() if tensor.is_meta]
    except Exception as error:  # of many kinds, from the middle of the conversion
        missing = [f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"]
    if missing:
        raise ValueError(
            f"`model`: {str(checkpoint)!r} does not hold a {kind.__name__} that is built as {config!r} says "
            f"({missing[0]}). Name by `model_config` a folder that is built like the file."
        )
    return loaded.to(dtype).eval()


def _load_processor(source: Source, network: Any) -> Any:
    required = ("preprocessor_config.json",)
    folder = fetch_folder(source, "image_encoder", required=required)
    if (folder / required[0]).exists():
        processor = load_pretrained(CLIPImageProcessorPil.from_pretrained, source, "image_encoder", required)
        check_processor(processor, network, folder, option("image_encoder"), UNDAMAGED)
        return processor
    # The published IP-Adapter encoders come without one: they use CLIP's own preprocessing.
    size = network.config.image_size
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def _load_tokenizer(source: Source, argument: str, network: Any) -> Any:
    required = ("tokenizer.json", "vocab.json", "merges.txt")
    tokenizer = load_pretrained(CLIPTokenizer.from_pretrained, source, argument, required)
    if len(tokenizer) < _SMALLEST_VOCABULARY:
        raise FileNotFoundError(
            f"`{argument}`: no vocabulary in {source.repository!r}. A CLIP tokenizer needs tokenizer.json, "
            "or vocab.json and merges.txt."
        )
    check_tokenizer(tokenizer, network, fetch_folder(source, argument, required=required), option(argument), UNDAMAGED)
    return tokenizer


def _load_prompt_encoder(loader: _Loader) -> PromptEncoder:
    return PromptEncoder(*loader.text_encoder(CLIPTextModel))


def _load_dual_prompt_encoder(loader: _Loader) -> DualPromptEncoder:
    first = _load_prompt_encoder(loader)
    second = ContentEncoder(*loader.text_encoder(CLIPTextModelWithProjection, "_2"))
    understood.check_added_width(loader.unet_config(), second.dim)
    return DualPromptEncoder(first, second)


FAMILIES = {
    "StableDiffusionPipeline": Family(_load_prompt_encoder, normalises_latents=False, mends_scheduler=True),
    "StableDiffusionXLPipeline": Family(_load_dual_prompt_encoder, "text_time"),
}
"""Pipeline classes of model_index.json that are known here."""
