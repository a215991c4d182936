"""Train the miniature's UNet and text encoder from captions, in the VAE's latents."""

import argparse
import json
from typing import Any

import diffusers
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from datamodules.files import write_text
from datamodules.vocabulary import caption, content_prompt
from lightning_modules.objectives import noise_weights, squared_error
from scripts.miniature.autoencoder import latents_of
from scripts.miniature.tokenizer import QUALITY, make_tokenizer
from scripts.miniature.training import ALL_CONTENTS, ALL_STYLES, Stage, run, save_folder

TEXT_WIDTH = 128  # of the conditioning CLIP's text tower


def new_scheduler() -> DDPMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,  # StableDiffusionPipeline insists on it
    )


def new_unet() -> UNet2DConditionModel:
    """Two levels, at 8 x 8 and 4 x 4, with cross-attention everywhere."""
    widths = (128, 192)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=tuple(width // 32 for width in widths),
        norm_num_groups=16,
    )


def describe(content: str, style: str, chance: float, quality: bool) -> str:
    """One of the captions that an image may carry: nothing, its style, its content, or both.

    `chance`, uniform in [0, 1), picks the kind; `quality` appends the words that people append to their prompts.
    """
    if chance < 0.08:
        return QUALITY if quality else ""
    if chance < 0.16:
        text = f"{style} style"
    elif chance < 0.46:
        text = content_prompt(content) if chance < 0.42 else content
    else:
        text = caption(content, style)
    return f"{text}, {QUALITY}" if quality else text


def noise_loss(prediction: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """Mean squared error of the noise ``(n, c, h, w)``, more where 8 x 8 latents take their shape.

    `alphas` ``(n,)`` are the cumulative alphas of the rows' time steps.
    """
    return (squared_error(prediction, noise) * noise_weights(alphas / (1 - alphas), gamma=5.0, noisy=10.0)).mean()


class DenoisingStage(Stage):
    """Prediction of the noise in latents of the drawn images, under captions and what else a stage conditions on."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.latents = latents_of(arguments, self.drawn)
        self.scheduler, self.tokenizer = new_scheduler(), make_tokenizer()

    def names(self, rows: Tensor) -> list[tuple[str, str]]:
        """Content and style of each row."""
        pairs = zip(self.drawn.contents[rows], self.drawn.styles[rows], strict=True)
        return [(ALL_CONTENTS[content], ALL_STYLES[style]) for content, style in pairs]

    def text_states(self, texts: list[str]) -> Tensor:
        """Hidden states ``(n, 32, 128)``."""
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        return self.text_encoder(tokens.input_ids).last_hidden_state

    def loss(self, rows: Tensor, condition: Any, chance: torch.Generator) -> Tensor:
        """The loss at random time steps; `condition` is what the UNet attends to."""
        latents = self.latents[rows]
        noise = torch.randn(latents.shape, generator=chance)
        steps = torch.randint(1000, (len(rows),), generator=chance)
        noisy = self.scheduler.add_noise(latents, noise, steps)
        loss = noise_loss(self.unet(noisy, steps, condition).sample, noise, self.scheduler.alphas_cumprod[steps])
        self.log("loss", loss, prog_bar=True)
        return loss


class TextToImageStage(DenoisingStage):
    """Captions name content, style, both or nothing."""

    lr = 8e-4

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.unet = new_unet()
        # Starts as the text tower of the conditioning CLIP; trained on with the UNet, it becomes another one.
        self.text_encoder = CLIPTextModel.from_pretrained(self.weights / "text_tower", dtype=torch.float32)

    def training_step(self, rows: Tensor) -> Tensor:
        chance = self.noise_source()
        draws, quality = torch.rand(2, len(rows), generator=chance)
        texts = [
            describe(content, style, float(u), bool(q < 0.15))
            for (content, style), u, q in zip(self.names(rows), draws, quality, strict=True)
        ]
        return self.loss(rows, self.text_states(texts), chance)

    def save(self) -> None:
        """Complete the folder that `StableDiffusionPipeline.from_pretrained` reads; the VAE is there already."""
        save_folder(self.weights / "unet", self.unet.half())
        save_folder(self.weights / "text_encoder", self.text_encoder.half())
        save_folder(self.weights / "scheduler", self.scheduler)
        save_folder(self.weights / "tokenizer", self.tokenizer)
        index = {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": diffusers.__version__,
            "vae": ["diffusers", "AutoencoderKL"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "scheduler": ["diffusers", "DDPMScheduler"],
            "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
            "feature_extractor": [None, None],
            "safety_checker": [None, None],
            "requires_safety_checker": False,
        }
        write_text(self.weights / "model_index.json", json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    run(TextToImageStage, "text-to-image", __doc__)
