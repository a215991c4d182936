"""Tiny random SDXL in the real file formats: three levels, two text encoders, pooled text and sizes."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from lightning_modules.diffusion.config import Backbone
from tests.tiny import (
    IMAGE_SIZE,
    TEXT_DIM,
    randomised,
    text_config,
    tiny_ip_adapter,
    write_image_encoder,
    write_ip_adapter,
    write_text_tower,
    write_tokenizer,
)

SECOND_TEXT_DIM = 16  # of the second text encoder; the UNet attends to both, side by side
XL_TEXT_DIM = TEXT_DIM + SECOND_TEXT_DIM
XL_FEATURE_DIM = 28  # of the second text encoder and of the image encoder that is paired with it
_TIME_DIM = 4  # of each of the six numbers of the micro-conditioning


def write_tiny_sdxl(folder: Path, seed: int = 0) -> Backbone:
    """Writes a complete SDXL with its IP-Adapter into `folder` and returns the settings that load it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = tiny_xl_unet()
        unet.save_pretrained(folder / "unet")
        tiny_xl_vae().save_pretrained(folder / "vae")
        _write_text_encoders(folder)
        write_image_encoder(folder / "image_encoder", XL_FEATURE_DIM)
        write_ip_adapter(folder, tiny_ip_adapter(unet, XL_FEATURE_DIM))
    _write_pipeline(folder)
    return Backbone(model=str(folder))


def write_tiny_sdxl_vit_h(folder: Path, sdxl: Backbone, seed: int = 2) -> Backbone:
    """Writes into `folder` what `ip-adapter_sdxl_vit-h` adds to an SDXL: the smaller CLIP pair and its IP-Adapter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_image_encoder(folder / "image_encoder")
        write_text_tower(folder / "text_tower")
        write_ip_adapter(folder, tiny_ip_adapter(tiny_xl_unet()))
    return Backbone(
        model=sdxl.model,
        image_encoder=str(folder / "image_encoder"),
        text_tower=str(folder / "text_tower"),
        ip_adapter=str(folder / "ip_adapter.safetensors"),
    )


def tiny_xl_unet() -> UNet2DConditionModel:
    """SDXL's blocks with two transformer layers where SDXL has ten: 17 cross-attention layers."""
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 2,
        block_out_channels=(8, 8, 16),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=XL_TEXT_DIM,
        attention_head_dim=(1, 2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_TIME_DIM,
        projection_class_embeddings_input_dim=6 * _TIME_DIM + XL_FEATURE_DIM,
    )
    return randomised(unet)


def tiny_xl_vae() -> AutoencoderKL:
    """Halves the size once; SDXL's VAE overflows in float16, as `force_upcast` says."""
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=IMAGE_SIZE,
        scaling_factor=0.13025,
        force_upcast=True,
    )
    return randomised(vae)


def _write_text_encoders(folder: Path) -> None:
    """As SDXL has them: token places of the configurations out of date, the second padded with "!" (place 0)."""
    places = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    first = text_config(feature_dim=TEXT_DIM, **places)
    second = text_config(SECOND_TEXT_DIM, XL_FEATURE_DIM, hidden_act="gelu", **places)
    randomised(CLIPTextModel(first)).save_pretrained(folder / "text_encoder")
    randomised(CLIPTextModelWithProjection(second)).save_pretrained(folder / "text_encoder_2")
    write_tokenizer(folder / "tokenizer")
    write_tokenizer(folder / "tokenizer_2", pad="!")


def _write_pipeline(folder: Path) -> None:
    betas: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = EulerDiscreteScheduler(**betas, timestep_spacing="leading", steps_offset=1)
    # What Euler does not read is there for the other schedulers.
    others = {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "sample_max_value": 1.0}
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({**scheduler.config, **others}))
    parts = {
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": True,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(parts))
