"""Train the miniature's IP-Adapter on the frozen UNet, mostly without captions, as the real ones were."""

import argparse
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection
from lightning import seed_everything
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from scripts.miniature.autoencoder import latents_of
from scripts.miniature.images import (
    ALL_CONTENTS,
    ALL_STYLES,
    TRAINING_SEED,
    Drawn,
    drawn_images,
    to_unit_range,
)
from scripts.miniature.text_to_image import describe, new_scheduler, noise_loss
from scripts.miniature.tokenizer import make_tokenizer
from scripts.miniature.training import Stage, fingerprint, options, train
from scripts.stopping import stoppable

TOKENS = 4


def add_image_attention(unet: UNet2DConditionModel) -> nn.ModuleList:
    """Give each cross-attention keys and values for the image tokens, started from those for the text.

    Returns:
        The processors, in the order of ``unet.attn_processors``; those of self-attention have no weights.
    """
    processors: dict[str, nn.Module | AttnProcessor2_0] = {}
    for name in unet.attn_processors:
        attention = unet.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn1.processor"):
            processors[name] = AttnProcessor2_0()
            continue
        to_k, to_v = attention.to_k.weight, attention.to_v.weight
        processor = IPAdapterAttnProcessor2_0(to_k.shape[0], to_k.shape[1], num_tokens=(TOKENS,), scale=1.0)
        processor.to_k_ip[0].weight.data.copy_(to_k)
        processor.to_v_ip[0].weight.data.copy_(to_v)
        processors[name] = processor
    image_attention = nn.ModuleList([p for p in processors.values() if isinstance(p, nn.Module)])
    unet.set_attn_processor(processors)  # empties the dictionary
    return image_attention


@torch.no_grad()
def encode_images(encoder: CLIPVisionModelWithProjection, drawn: Drawn, path: Path) -> Tensor:
    """CLIP image features of all drawn images ``(n, dim)``, computed once and kept in a file."""
    if not path.exists():
        rows = range(0, len(drawn.images), 250)
        parts = [encoder(to_unit_range(drawn.images[i : i + 250])).image_embeds for i in tqdm(rows, desc="CLIP")]
        torch.save(torch.cat(parts), path)
    return torch.load(path, weights_only=True)


class IPAdapterStage(Stage):
    """Denoising of latents under the image's own CLIP feature; most captions are empty."""

    def __init__(self, arguments: argparse.Namespace, drawn: Drawn) -> None:
        super().__init__(arguments)
        frozen, self.captions, self.drawn = arguments.weights, arguments.captions, drawn
        self.unet = UNet2DConditionModel.from_pretrained(frozen / "unet", torch_dtype=torch.float32)
        self.unet.requires_grad_(False)
        self.image_attention = add_image_attention(self.unet)
        self.image_attention.requires_grad_(True)
        encoder = CLIPVisionModelWithProjection.from_pretrained(frozen / "image_encoder", dtype=torch.float32).eval()
        name = f"features-{fingerprint(frozen / 'image_encoder')}-{len(drawn.images)}.pt"
        self.features = encode_images(encoder, drawn, arguments.work / name)
        self.latents = latents_of(arguments, drawn)
        self.text_encoder = CLIPTextModel.from_pretrained(frozen / "text_encoder", dtype=torch.float32)
        self.text_encoder.requires_grad_(False)
        width = self.unet.config.cross_attention_dim
        self.projection = ImageProjection(self.features.shape[1], width, TOKENS)
        self.scheduler, self.tokenizer = new_scheduler(), make_tokenizer()

    def text_states(self, rows: Tensor, chance: torch.Generator) -> Tensor:
        """Hidden states of the captions; all but a share `captions` of them are empty."""
        draws, kept = torch.rand(2, len(rows), generator=chance)
        names = zip(self.drawn.contents[rows], self.drawn.styles[rows], strict=True)
        texts = [
            describe(ALL_CONTENTS[c], ALL_STYLES[s], float(u), False) if k < self.captions else ""
            for (c, s), u, k in zip(names, draws, kept, strict=True)
        ]
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        return self.text_encoder(tokens.input_ids).last_hidden_state

    def training_step(self, rows: Tensor) -> Tensor:
        chance = self.noise_source()
        text = self.text_states(rows, chance)
        dropped = torch.rand(len(rows), 1, generator=chance) < 0.05
        tokens = self.projection(self.features[rows].masked_fill(dropped, 0.0))
        latents = self.latents[rows]
        noise = torch.randn(latents.shape, generator=chance)
        steps = torch.randint(1000, (len(rows),), generator=chance)
        noisy = self.scheduler.add_noise(latents, noise, steps)
        prediction = self.unet(noisy, steps, (text, [tokens[:, None]])).sample
        loss = noise_loss(prediction, noise, self.scheduler.alphas_cumprod[steps])
        self.log("loss", loss, prog_bar=True)
        return loss


def save(stage: IPAdapterStage, path: Path) -> None:
    """Write the published file format: flat keys with the prefixes ``image_proj`` and ``ip_adapter``."""
    state = {
        "image_proj.proj.weight": stage.projection.image_embeds.weight,
        "image_proj.proj.bias": stage.projection.image_embeds.bias,
        "image_proj.norm.weight": stage.projection.norm.weight,
        "image_proj.norm.bias": stage.projection.norm.bias,
    }
    for i, processor in enumerate(stage.image_attention):
        for part in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * i + 1}.{part}.weight"] = processor.state_dict()[f"{part}.0.weight"]
    save_file({key: value.detach().half().contiguous() for key, value in state.items()}, path)


def main() -> None:
    parser = options(__doc__ or "", steps=1300, batch_size=48, lr=1e-3)
    parser.add_argument("--captions", type=float, default=0.25, help="share of the images that keep a caption")
    arguments = parser.parse_args()
    seed_everything(arguments.seed)
    drawn = drawn_images(arguments.work, arguments.per_pair, TRAINING_SEED)
    stage = IPAdapterStage(arguments, drawn)
    train(stage, arguments, len(drawn.images), "ip-adapter", decay=0.998)
    save(stage, arguments.weights / "ip_adapter.safetensors")


if __name__ == "__main__":
    with stoppable():
        main()
