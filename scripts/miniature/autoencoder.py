"""Train the miniature's VAE: 64 x 64 images to latents of 16 channels at 8 x 8."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from scripts.miniature.images import TRAINING_SEED, Drawn, drawn_images, to_unit_range
from scripts.miniature.training import Stage, options, train


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


class AutoencoderStage(Stage):
    """Reconstruction of pixels and edges, with latents kept near a unit Gaussian."""

    def __init__(self, lr: float, steps: int, seed: int, drawn: Drawn, kl_weight: float) -> None:
        super().__init__(lr, steps, seed)
        self.vae = new_autoencoder()
        self.drawn, self.kl_weight = drawn, kl_weight

    def training_step(self, rows: Tensor) -> Tensor:
        images = to_unit_range(self.drawn.images[rows.numpy()])
        posterior = self.vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=self.noise_source())
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        reconstruction = F.l1_loss(decoded, images) + gradient_difference(decoded, images)
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        self.log_dict({"reconstruction": reconstruction, "kl": kl}, prog_bar=True)
        return reconstruction + self.kl_weight * kl


@torch.no_grad()
def latent_scale(vae: AutoencoderKL, drawn: Drawn) -> float:
    """1 / standard deviation of the latents: diffusers' ``scaling_factor``."""
    images = to_unit_range(drawn.images[:: max(1, len(drawn.images) // 512)])
    return 1.0 / float(vae.encode(images).latent_dist.sample(torch.Generator().manual_seed(0)).std())


def main() -> None:
    parser = options(__doc__ or "", steps=3000, batch_size=32, lr=2e-3)
    parser.add_argument("--kl-weight", type=float, default=3e-3, help="weight of the mean KL of a latent")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    drawn = drawn_images(arguments.work, arguments.per_pair, TRAINING_SEED)
    stage = AutoencoderStage(arguments.lr, arguments.steps, arguments.seed, drawn, arguments.kl_weight)
    train(stage, arguments, len(drawn.images), "autoencoder")
    vae = stage.vae.eval()
    vae.register_to_config(scaling_factor=latent_scale(vae, drawn))
    vae.half().save_pretrained(arguments.weights / "vae")


if __name__ == "__main__":
    main()
