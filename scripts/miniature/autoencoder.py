"""Train the miniature's VAE: 64 x 64 images to latents of 16 channels at 8 x 8."""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from scripts.miniature.training import Drawn, Stage, encoded, kept_file, run, save_folder, to_unit_range


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


def reconstruction_loss(decoded: Tensor, images: Tensor, colours: float) -> Tensor:
    """Mean absolute difference of pixels, of edges and, weighted by `colours`, of the mean colours of 8 x 8 areas."""
    coarse, pixels = F.l1_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(images, 8)), F.l1_loss(decoded, images)
    edges = [F.l1_loss(decoded.diff(dim=side), images.diff(dim=side)) for side in (-1, -2)]
    return pixels + (edges[0] + edges[1]) + colours * coarse


class AutoencoderStage(Stage):
    """Reconstruction of pixels and edges, with latents kept near a unit Gaussian."""

    decay = 0.98
    steps, batch_size, lr = 1800, 32, 2e-3

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        self.vae = new_autoencoder()
        self.kl_weight, self.colours = arguments.kl_weight, arguments.colours
        if arguments.go_on:
            self.vae.load_state_dict(load_autoencoder(arguments.weights).state_dict())

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--kl-weight", type=float, default=3e-3, help="weight of the mean KL of a latent")
        parser.add_argument("--colours", type=float, default=4.0, help="weight of the mean colours of 8 x 8 areas")
        again = "start from the finished weights, with a new schedule"
        parser.add_argument("--go-on", action="store_const", const="-2", default="", help=again)

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
    def save(self) -> None:
        """The VAE, with 1 / standard deviation of its latents as diffusers' `scaling_factor`."""
        images = to_unit_range(self.drawn.images[:: max(1, len(self.drawn.images) // 512)])
        latents = self.vae.encode(images).latent_dist.sample(torch.Generator().manual_seed(0))
        self.vae.register_to_config(scaling_factor=1.0 / float(latents.std()))
        save_folder(self.weights / "vae", self.vae.half())


def load_autoencoder(weights: Path) -> AutoencoderKL:
    """The trained VAE in single precision."""
    return AutoencoderKL.from_pretrained(weights / "vae", torch_dtype=torch.float32).eval()


def latents_of(arguments: argparse.Namespace, drawn: Drawn) -> Tensor:
    """Scaled latents ``(n, 16, 8, 8)`` of the training images by the trained VAE."""
    vae = load_autoencoder(arguments.weights)

    def encode(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return vae.encode(images).latent_dist.mean.float() * vae.config.scaling_factor

    return encoded(encode, drawn, kept_file(arguments, "latents", "vae", len(drawn.images)))


if __name__ == "__main__":
    run(AutoencoderStage, "autoencoder{go_on}", __doc__)
