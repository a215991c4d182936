"""LightningModule of `fit`: the first stage of StyleShot (Gao et al., arXiv 2407.01414), its style-aware encoder."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from datamodules.batches import ReferenceBatch
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.ip_adapter import install_attention
from lightning_modules.draws import DropRates
from lightning_modules.styleshot.pyramid import PatchSizes
from lightning_modules.styleshot_reconstruction import IMAGE_ATTENTION, PROJECTION, StyleShotReconstruction

ENCODER = "diffusion.image_encoder."
# The style encoder cuts patches of its own in place of CLIP's.
_UNUSED = "vision_model.embeddings."
_CLIP = f"{ENCODER}image_encoder."


class StyleEncoderReconstruction(StyleShotReconstruction):
    """Trains the style encoder, its projection and the image attention.

    A backbone without `style_encoder` gives the start: its CLIP image encoder becomes the transformer of a new style
    encoder. One with `style_encoder` is trained on from there.

    Args:
        backbone: names of the first weights.
        patches: sizes of a new style encoder's CNNs.
        sampling: how pictures are sampled in validation.
        optimizer: optimizer of the trained parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        drop: how often the image, its caption or both are dropped; as published by default.
        snr_gamma: bound of min-SNR weighting (arXiv 2303.09556), 5 as a rule; null weights all noise levels alike.
        noisy_weight: noisy inputs weigh up to so many times more; 1 weights them alike.
        cache_features: keep the latents of each image in memory after its first use: for sets of some thousand images.
        shuffle_patches: read the patches of each image and level in an order of their own each epoch, as published.
        freeze_clip: leave the transformer as the CLIP image encoder has it, as published, and train what is around it.
        gradient_checkpointing: recompute the UNet's activations in the backward pass, to save memory.
        seed: seed of all new weights and of all that is drawn in training, at least 0.
        runtime: how the networks run.
    """

    name = "style_encoder"

    def __init__(
        self,
        backbone: Backbone = Backbone(),
        patches: PatchSizes = PatchSizes(),
        sampling: SamplingSettings = SamplingSettings(),
        optimizer: OptimizerCallable = lambda params: torch.optim.AdamW(params, lr=1e-5, weight_decay=1e-2),
        lr_scheduler: LRSchedulerCallable | None = None,
        drop: DropRates = DropRates(image=0.25, content=0.0, both=0.05),
        snr_gamma: float | None = None,
        noisy_weight: float = 1.0,
        cache_features: bool = False,
        shuffle_patches: bool = True,
        freeze_clip: bool = True,
        gradient_checkpointing: bool = False,
        seed: int = 42,
        runtime: Runtime = Runtime(),
    ) -> None:
        super().__init__(
            snr_gamma,
            noisy_weight,
            cache_features,
            shuffle_patches,
            backbone=backbone,
            sampling=sampling,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            drop=drop,
            gradient_checkpointing=gradient_checkpointing,
            seed=seed,
            runtime=runtime,
        )
        self.patches, self.freeze_clip = patches, freeze_clip

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        if self.runtime.offload:
            raise ValueError(
                "`offload` of the runtime would send the style encoder off the accelerator between its forward and its "
                "backward pass. Leave it out; `gradient_checkpointing` and smaller batches save memory too."
            )

    @override
    def build(self) -> None:
        from lightning_modules.styleshot.untrained import new_projection, new_style_encoder, text_attention

        model: Any = self.model
        if self.backbone.style_encoder is None:
            model.image_encoder = new_style_encoder(model.image_encoder.model, self.patches, self.seed)
            width = model.unet.config.cross_attention_dim
            model.image_projection = new_projection(model.image_encoder.dim, width, self.seed)
            install_attention(model.unet, text_attention(model.unet), model.image_projection.num_tokens)
            model.requires_grad_(False).eval()
        for name, parameter in self.named_parameters():
            learns = name.startswith((PROJECTION, ENCODER)) or IMAGE_ATTENTION in name
            frozen = _UNUSED in name or (self.freeze_clip and name.startswith(_CLIP))
            parameter.requires_grad_(learns and not frozen)

    @override
    def is_frozen(self, key: str) -> bool:
        return super().is_frozen(key) and not key.startswith(ENCODER)

    @override
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        encoder: Any = self.model.image_encoder
        pixels = encoder.pixels(self.model.framed(batch["images"]))
        features: Tensor = encoder.encode(pixels, self.patch_orders(batch))
        return features.float()
