"""Train the miniature's IP-Adapter on the frozen UNet, mostly without captions, as the real ones were."""

import argparse

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection
from safetensors.torch import save
from torch import Tensor
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from datamodules.files import write_atomically
from lightning_modules.diffusion.ip_adapter import attention_keys, cross_attention_layers, install_attention
from lightning_modules.styleshot.weights import text_attention
from scripts.miniature.text_to_image import DenoisingStage, describe
from scripts.miniature.training import encoded, kept_file, run

TOKENS = 4


class IPAdapterStage(DenoisingStage):
    """The condition is the image's own CLIP feature; most captions are empty."""

    steps = 1300

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        frozen, self.captions = arguments.weights, arguments.captions
        self.unet = UNet2DConditionModel.from_pretrained(frozen / "unet", torch_dtype=torch.float32)
        self.unet.requires_grad_(False)
        # New weights, which train; they start from those for the text.
        install_attention(self.unet, text_attention(self.unet), TOKENS)
        encoder = CLIPVisionModelWithProjection.from_pretrained(frozen / "image_encoder", dtype=torch.float32).eval()
        kept = kept_file(arguments, "features", "image_encoder", len(self.drawn.images))
        self.features = encoded(lambda images: encoder(images).image_embeds, self.drawn, kept)
        self.text_encoder = CLIPTextModel.from_pretrained(frozen / "text_encoder", dtype=torch.float32)
        self.text_encoder.requires_grad_(False)
        width = self.unet.config.cross_attention_dim
        self.projection = ImageProjection(self.features.shape[1], width, TOKENS)

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--captions", type=float, default=0.25, help="share of the images that keep a caption")

    def training_step(self, rows: Tensor) -> Tensor:
        chance = self.noise_source()
        draws, kept = torch.rand(2, len(rows), generator=chance)
        texts = [
            describe(content, style, float(u), False) if k < self.captions else ""
            for (content, style), u, k in zip(self.names(rows), draws, kept, strict=True)
        ]
        dropped = torch.rand(len(rows), 1, generator=chance) < 0.05
        tokens = self.projection(self.features[rows].masked_fill(dropped, 0.0))
        return self.loss(rows, (self.text_states(texts), [tokens[:, None]]), chance)

    def save(self) -> None:
        """Write the published file format: flat keys with the prefixes ``image_proj`` and ``ip_adapter``."""
        state = {f"image_proj.proj.{key}": value for key, value in self.projection.image_embeds.state_dict().items()}
        state |= {f"image_proj.norm.{key}": value for key, value in self.projection.norm.state_dict().items()}
        for key, (layer, kind) in attention_keys(cross_attention_layers(self.unet)).items():
            state[f"ip_adapter.{key}"] = self.unet.get_parameter(f"{layer}.processor.to_{kind}_ip.0.weight")
        content = save({key: value.detach().half().contiguous() for key, value in state.items()})
        write_atomically(self.weights / "ip_adapter.safetensors", lambda file: file.write(content))


if __name__ == "__main__":
    run(IPAdapterStage, "ip-adapter", __doc__)
