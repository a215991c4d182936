"""Train the miniature's VAE: 64 x 64 images to latents of 16 channels at 8 x 8."""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from lightning import seed_everything
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from scripts.miniature.images import TRAINING_SEED, Drawn, drawn_images, to_unit_range
from scripts.miniature.training import Stage, fingerprint, options, train
from scripts.stopping import stoppable


def new_autoencoder() -> AutoencoderKL:
    """A small AutoencoderKL of Stable Diffusion's own kind: four levels, 16 latent channels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 96, 96),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        sample_size=64,
    )


def gradient_difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the horizontal and vertical gradients of two images ``(n, c, h, w)``."""
    return F.l1_loss(a.diff(dim=-1), b.diff(dim=-1)) + F.l1_loss(a.diff(dim=-2), b.diff(dim=-2))


def reconstruction_loss(decoded: Tensor, images: Tensor, colours: float) -> Tensor:
    """Mean absolute difference of pixels, of edges and, weighted by `colours`, of the mean colours of 8 x 8 areas."""
    coarse = F.l1_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(images, 8))
    return F.l1_loss(decoded, images) + gradient_difference(decoded, images) + colours * coarse


class AutoencoderStage(Stage):
    """Reconstruction of pixels and edges, with latents kept near a unit Gaussian."""

    def __init__(self, arguments: argparse.Namespace, drawn: Drawn) -> None:
        super().__init__(arguments)
        self.vae, self.drawn = new_autoencoder(), drawn
        self.kl_weight, self.colours = arguments.kl_weight, arguments.colours

    def training_step(self, rows: Tensor) -> Tensor:
        images = to_unit_range(self.drawn.images[rows.numpy()])
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=self.noise_source())
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        reconstruction = reconstruction_loss(decoded, images, self.colours)
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        self.log_dict({"reconstruction": reconstruction, "kl": kl}, prog_bar=True)
        return reconstruction + self.kl_weight * kl


@torch.no_grad()
def latent_scale(vae: AutoencoderKL, drawn: Drawn) -> float:
    """1 / standard deviation of the latents: diffusers' ``scaling_factor``."""
    images = to_unit_range(drawn.images[:: max(1, len(drawn.images) // 512)])
    return 1.0 / float(vae.encode(images).latent_dist.sample(torch.Generator().manual_seed(0)).std())


@torch.no_grad()
def encode_latents(vae: AutoencoderKL, drawn: Drawn, path: Path) -> Tensor:
    """Scaled latents of all drawn images, ``(n, 16, 8, 8)``, computed once and kept in a file."""
    if not path.exists():
        rows = range(0, len(drawn.images), 250)
        with torch.autocast("cpu", torch.bfloat16):
            parts = [
                vae.encode(to_unit_range(drawn.images[i : i + 250])).latent_dist.mean.float()
                for i in tqdm(rows, desc="encoding")
            ]
        torch.save(torch.cat(parts) * vae.config.scaling_factor, path)
    latents: Tensor = torch.load(path, weights_only=True)
    return latents


def load_autoencoder(weights: Path) -> AutoencoderKL:
    """The trained VAE in single precision."""
    return AutoencoderKL.from_pretrained(weights / "vae", torch_dtype=torch.float32).eval()


def latents_of(arguments: argparse.Namespace, drawn: Drawn) -> Tensor:
    """Latents of the training images by the trained VAE."""
    name = f"latents-{fingerprint(arguments.weights / 'vae')}-{len(drawn.images)}.pt"
    return encode_latents(load_autoencoder(arguments.weights), drawn, arguments.work / name)


def main() -> None:
    parser = options(__doc__ or "", steps=1800, batch_size=32, lr=2e-3)
    parser.add_argument("--kl-weight", type=float, default=3e-3, help="weight of the mean KL of a latent")
    parser.add_argument("--colours", type=float, default=4.0, help="weight of the mean colours of 8 x 8 areas")
    parser.add_argument("--go-on", action="store_true", help="start from the finished weights, with a new schedule")
    arguments = parser.parse_args()
    seed_everything(arguments.seed)
    drawn = drawn_images(arguments.work, arguments.per_pair, TRAINING_SEED)
    stage = AutoencoderStage(arguments, drawn)
    if arguments.go_on:
        stage.vae.load_state_dict(load_autoencoder(arguments.weights).state_dict())
    train(stage, arguments, len(drawn.images), "autoencoder-2" if arguments.go_on else "autoencoder", decay=0.98)
    vae = stage.vae.eval()
    vae.register_to_config(scaling_factor=latent_scale(vae, drawn))
    vae.half().save_pretrained(arguments.weights / "vae")


if __name__ == "__main__":
    with stoppable():
        main()
