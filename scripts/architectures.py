"""The public architectures by their published configurations: no weights, no download.

Stable Diffusion 1.5 (Rombach et al., arXiv 2112.10752), SDXL (Podell et al., arXiv 2307.01952), the CLIP models that
they and the IP-Adapters (Ye et al., arXiv 2308.06721) use.
"""

from dataclasses import dataclass, field
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

Config = dict[str, Any]

SD15_UNET: Config = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,  # diffusers' name for the number of heads
}
SDXL_UNET: Config = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SD15_VAE: Config = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}
SDXL_VAE: Config = {**SD15_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}

# The published text configurations have other special tokens than their tokenizer; transformers knows of it.
_TEXT: Config = {"vocab_size": 49408, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
CLIP_L_TEXT: Config = {
    **_TEXT,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
VIT_H_TEXT: Config = {
    **_TEXT,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
BIGG_TEXT: Config = {
    **_TEXT,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
VIT_H_VISION: Config = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
BIGG_VISION: Config = {
    "hidden_size": 1664,
    "intermediate_size": 8192,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}

_BETAS: Config = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
PNDM: Config = {**_BETAS, "skip_prk_steps": True, "set_alpha_to_one": False}
EULER: Config = {**_BETAS, "timestep_spacing": "leading", "interpolation_type": "linear", "use_karras_sigmas": False}


@dataclass(frozen=True)
class Architecture:
    """All networks of a text-to-image model with an IP-Adapter, as configurations of their classes.

    Args:
        pipeline: diffusers' class of the pipeline.
        scheduler: diffusers' class of the scheduler, and its configuration.
        unet: of a UNet2DConditionModel.
        vae: of an AutoencoderKL.
        text_encoder: of a CLIPTextModel.
        image_encoder: of a CLIPVisionModelWithProjection, which the IP-Adapter reads.
        text_encoder_2: of a CLIPTextModelWithProjection; None where there is no second one.
        text_tower: of the CLIPTextModelWithProjection paired with `image_encoder`; None: `text_encoder_2` is it.
        image_tokens: T of the IP-Adapter.
        options: further entries of model_index.json.
    """

    pipeline: str
    scheduler: tuple[str, Config]
    unet: Config
    vae: Config
    text_encoder: Config
    image_encoder: Config
    text_encoder_2: Config | None = None
    text_tower: Config | None = None
    image_tokens: int = 4
    options: Config = field(default_factory=dict)

    @property
    def parts(self) -> list[str]:
        """Names of the networks, as the folders of their weights are called."""
        names = ("unet", "vae", "text_encoder", "text_encoder_2", "image_encoder", "text_tower")
        return [name for name in names if getattr(self, name) is not None]

    def build(self, part: str) -> Any:
        """A network of `parts` with random weights, on the default device and in the default precision."""
        config = getattr(self, part)
        if part in ("unet", "vae"):
            return (UNet2DConditionModel if part == "unet" else AutoencoderKL)(**config)
        if part == "image_encoder":
            return CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
        network = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
        return network(CLIPTextConfig(**config))


ARCHITECTURES: dict[str, Architecture] = {
    "sd15": Architecture(
        pipeline="StableDiffusionPipeline",
        scheduler=("PNDMScheduler", PNDM),
        unet=SD15_UNET,
        vae=SD15_VAE,
        text_encoder=CLIP_L_TEXT,
        image_encoder=VIT_H_VISION,
        text_tower=VIT_H_TEXT,
        options={"requires_safety_checker": False},
    ),
    "sdxl": Architecture(
        pipeline="StableDiffusionXLPipeline",
        scheduler=("EulerDiscreteScheduler", EULER),
        unet=SDXL_UNET,
        vae=SDXL_VAE,
        text_encoder=CLIP_L_TEXT,
        text_encoder_2=BIGG_TEXT,
        image_encoder=BIGG_VISION,
        options={"force_zeros_for_empty_prompt": True},
    ),
}
"""Stable Diffusion 1.5 with ViT-H/14 and SDXL with ViT-bigG/14, for which the first IP-Adapters were made."""


def parameter_count(network: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in network.parameters())
