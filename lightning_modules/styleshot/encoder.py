"""StyleShot's style-aware encoder and the projection of its three features to image tokens.

Names of submodules are those of the published files, so that a state dict has their keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lightning_modules.diffusion.encoders import frozen
from lightning_modules.diffusion.ip_adapter import ImageProjection
from lightning_modules.styleshot.pyramid import PATCHES, PatchSizes, centre_crop, patch_pyramid, shuffled

LEVELS = ("high", "middle", "low")
STYLE_TOKENS = (0, PATCHES[0] + 1, PATCHES[0] + PATCHES[1] + 2)
"""Places of the three style tokens in the sequence [style, 8 patches, style, 16 patches, style, 32 patches]."""
_TOKENS_PER_LEVEL = 2


def clip_vit_h() -> CLIPVisionConfig:
    """Sizes of CLIP ViT-H/14's image encoder, which the published style encoder has."""
    sizes = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
    return CLIPVisionConfig(**sizes, patch_size=14, projection_dim=1024, hidden_act="gelu")


@dataclass(frozen=True)
class StyleEncoderConfig(PatchSizes):
    """Sizes of a style encoder, by default the published ones: of its CNNs, and of the CLIP that reads their vectors.

    All blocks but the first two and the last halve the patch, so each level must have one block less than the level
    above, or ValueError is raised.
    """

    vision: CLIPVisionConfig = field(default_factory=clip_vit_h)

    def __post_init__(self) -> None:
        blocks = [len(channels) - 1 for channels in self.channels]
        if len(blocks) != 3 or blocks[2] < 3 or blocks != [blocks[2] + 2, blocks[2] + 1, blocks[2]]:
            raise ValueError(
                "`channels` must name three CNNs, each with one residual block less than the one before and the last "
                f"with three or more; got {blocks} blocks. The published encoder has 6, 5 and 4."
            )

    @property
    def image_size(self) -> int:
        """Side of the square crop in pixels, four times that of the largest patches."""
        # All blocks of a CNN but the first two and the last halve a patch, and so does the pooling: one vector is left.
        return 4 * self.unshuffle * 2 ** (len(self.channels[0]) - 3)


class StyleEncoder(nn.Module):
    """Style-aware encoder: a picture to one style feature for each level of its patch pyramid.

    Args:
        config: sizes.
        permutations: over how many orders of the patches the features are averaged; 0 takes the canonical order,
            below 0 is a ValueError. The published code draws one order for each call.
        seed: decides the orders.
    """

    def __init__(self, config: StyleEncoderConfig | None = None, permutations: int = 0, seed: int = 0) -> None:
        super().__init__()
        if permutations < 0:
            raise ValueError(f"`permutations` must be 0 (canonical order) or positive; got {permutations}.")
        self.config = config or StyleEncoderConfig()
        self.permutations, self.seed = permutations, seed
        vision = self.config.vision
        self.image_encoder = CLIPVisionModelWithProjection(vision)
        self.cnn = nn.ModuleList(
            PatchEncoder(channels, self.config.unshuffle, vision.hidden_size) for channels in self.config.channels
        )
        self.style_embeddings = nn.ParameterList(torch.randn(vision.hidden_size) for _ in PATCHES)
        self.position_embedding = nn.Embedding(sum(PATCHES) + len(PATCHES), vision.hidden_size)

    @property
    def dim(self) -> int:
        """Size of a style feature."""
        return int(self.config.vision.projection_dim)

    @frozen
    def forward(self, images: Sequence[Image.Image], orders: Sequence[Tensor] | None = None) -> Tensor:
        """Style features `(len(images), 3, dim)` in float32: high, middle and low level, not normalised."""
        return self.encode(self.pixels(images), orders).float()

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """Images as `encode` takes them."""
        pixels = torch.stack([centre_crop(image, self.config.image_size) for image in images])
        return pixels.to(self.position_embedding.weight)

    def encode(self, pixels: Tensor, orders: Sequence[Tensor] | None = None) -> Tensor:
        """Style features `(batch, 3, dim)` of pictures `(batch, 3, size, size)` in -1 to 1, in their precision.

        `orders` are those of the patches of each level, `(batch, patches)`; None: as `permutations` says. Raises
        ValueError where the pictures have another size than the encoder's.
        """
        size = self.config.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (3, size, size):
            raise ValueError(
                f"`pixels` must be (batch, 3, {size}, {size}) for this style encoder; got {tuple(pixels.shape)}. "
                f"Crop the images with `centre_crop(image, {size})`."
            )
        levels = [cnn(patches) for cnn, patches in zip(self.cnn, patch_pyramid(pixels), strict=True)]
        if orders is not None:
            rows = torch.arange(len(pixels))[:, None]
            return self._read([level[rows, order] for level, order in zip(levels, orders, strict=True)])
        if not self.permutations:
            return self._read(levels)
        generator = Generator().manual_seed(self.seed)
        # A CNN sees one patch at a time, so its vectors can be shuffled in place of the patches.
        return torch.stack([self._read(shuffled(levels, generator)) for _ in range(self.permutations)]).mean(dim=0)

    def _read(self, levels: Sequence[Tensor]) -> Tensor:
        """Style features of patch vectors `(batch, patches, width)` of three levels, in this order."""
        styles = [style.expand(len(levels[0]), 1, -1) for style in self.style_embeddings]
        parts = [part for level in zip(styles, levels, strict=True) for part in level]
        tokens = torch.cat(parts, dim=1) + self.position_embedding.weight
        vision = self.image_encoder.vision_model
        states = vision.encoder(inputs_embeds=vision.pre_layrnorm(tokens)).last_hidden_state
        features: Tensor = self.image_encoder.visual_projection(vision.post_layernorm(states[:, STYLE_TOKENS]))
        return features


class PatchEncoder(nn.Module):
    """The CNN of one level: patches to vectors of size `width`; `channels` and `unshuffle` as in `PatchSizes`."""

    def __init__(self, channels: Sequence[int], unshuffle: int, width: int) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.conv_in = nn.Conv2d(3 * unshuffle**2, channels[0], 3, padding=1)
        halving = range(2, len(channels) - 2)  # all blocks but two before and one behind
        blocks = (ResidualBlock(*pair, place in halving) for place, pair in enumerate(pairwise(channels)))
        self.body = nn.Sequential(*blocks)
        self.adapter = nn.Linear(channels[-1], width)

    def forward(self, patches: Tensor) -> Tensor:
        """Vectors `(batch, n, width)` of patches `(batch, n, 3, size, size)`."""
        flat = functional.pixel_unshuffle(patches.flatten(0, 1), self.unshuffle)
        pooled = functional.avg_pool2d(self.body(self.conv_in(flat)), 2)
        vectors: Tensor = self.adapter(pooled.flatten(1))
        return vectors.unflatten(0, patches.shape[:2])


class ResidualBlock(nn.Module):
    """`conv1x1(relu(conv3x3(x))) + x`, of an x that may be halved and given another number of channels first."""

    def __init__(self, channels_in: int, channels_out: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        same = channels_in == channels_out
        self.in_conv = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)
        self.block1 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.block2 = nn.Conv2d(channels_out, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Activations `(batch, channels_out, size, size)`, of half the size if this block halves."""
        x = self.in_conv(functional.avg_pool2d(x, 2) if self.halve else x)
        residual: Tensor = self.block2(functional.relu(self.block1(x)))
        return residual + x


class StyleProjection(nn.Module):
    """P of StyleShot: features of size `dim` to two tokens of `token_dim` a level; zeros give the unconditional."""

    def __init__(self, dim: int, token_dim: int) -> None:
        super().__init__()
        self.dim, self.num_tokens = dim, _TOKENS_PER_LEVEL * len(LEVELS)
        self.heads = nn.ModuleList(ImageProjection(dim, _TOKENS_PER_LEVEL, token_dim) for _ in LEVELS)

    def forward(self, features: Tensor) -> Tensor:
        """Image tokens `(batch, 6, C)` of style features `(batch, 3, D)`, high to low; ValueError for other shapes."""
        if features.ndim != 3 or features.shape[1] != len(LEVELS):
            raise ValueError(
                f"`features` must be (batch, 3, dim): one for the {', '.join(LEVELS)} level each; got "
                f"{tuple(features.shape)}. Encode the style references with a `StyleEncoder`."
            )
        return torch.cat([head(level) for head, level in zip(self.heads, features.unbind(1), strict=True)], dim=1)
