"""LightningModule of `fit`: the second stage of StyleShot (Gao et al., arXiv 2407.01414), its content fusion."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from typing_extensions import override

from datamodules.batches import ReferenceBatch
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import framed, to_pixels
from lightning_modules.diffusion.unet_inputs import ContentMap
from lightning_modules.draws import FusionDropRates
from lightning_modules.styleshot.detectors import Detector
from lightning_modules.styleshot.pyramid import MAP_CHANNELS
from lightning_modules.styleshot_reconstruction import CHECKPOINT_RECORD, StyleShotReconstruction

CONTROLNET = "diffusion.controlnet."


class ContentFusionReconstruction(StyleShotReconstruction):
    """Trains the content-fusion ControlNet on the lines of the images, all else being frozen.

    It starts from the UNet, or from the ControlNet of the backbone where `content_fusion` asks for that.

    Args:
        backbone: names of the frozen weights, with `style_encoder`.
        map_channels: channels of a new ControlNet's convolutions that read the lines.
        detector: draws the lines of images that come without a content map; null: those of the backbone's
            `content_lines`, or edges.
        map_folder: keeps these lines from run to run; null keeps them in memory.
        sampling: how pictures are sampled in validation.
        optimizer: optimizer of the trained parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        drop: how often the image's style, its caption, its lines or several are dropped; as published by default.
        snr_gamma: bound of min-SNR weighting (arXiv 2303.09556), 5 as a rule; null weights all noise levels alike.
        noisy_weight: noisy inputs weigh up to so many times more; 1 weights them alike.
        cache_features: keep latents and, unless patches are shuffled, style features of each image in memory.
        shuffle_patches: read the patches of each image and level in an order of their own each epoch, as published.
        gradient_checkpointing: recompute activations in the backward pass, to save memory.
        seed: seed of all new weights and of all that is drawn in training, at least 0.
        runtime: how the networks run.
    """

    name = "content_fusion"

    def __init__(
        self,
        backbone: Backbone = Backbone(),
        map_channels: Sequence[int] = MAP_CHANNELS,
        detector: Detector | None = None,
        map_folder: str | None = None,
        sampling: SamplingSettings = SamplingSettings(),
        optimizer: OptimizerCallable = lambda params: torch.optim.AdamW(params, lr=1e-5, weight_decay=1e-2),
        lr_scheduler: LRSchedulerCallable | None = None,
        drop: FusionDropRates = FusionDropRates(),
        snr_gamma: float | None = None,
        noisy_weight: float = 1.0,
        cache_features: bool = False,
        shuffle_patches: bool = True,
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
            detector=detector,
            map_folder=map_folder,
        )
        if backbone.style_encoder is None:
            raise ValueError(
                "`style_encoder` is missing: content fusion is trained beside a trained style encoder. Give a backbone "
                "with StyleShot, such as configs/backbone/miniature_styleshot.yaml."
            )
        self.map_channels = map_channels
        self._given_maps = False  # of lines that nobody here knows

    @property
    @override
    def reads_content_images(self) -> bool:
        return True

    @override
    def build(self) -> None:
        from lightning_modules.styleshot.untrained import controlnet_from_unet

        model: Any = self.model
        if model.controlnet is None:
            self._check_map_channels(len(model.vae.config.block_out_channels))
            model.controlnet = controlnet_from_unet(model.unet, self.map_channels, self.seed).to(self.device).eval()
        model.controlnet.requires_grad_(True)
        if self.gradient_checkpointing:
            model.controlnet.enable_gradient_checkpointing()

    def _check_map_channels(self, levels: int) -> None:
        if len(self.map_channels) != levels:
            raise ValueError(
                f"`map_channels` must be {levels} numbers, each but the first halving the lines, to bring them to the "
                f"size of this VAE's latents; got {list(self.map_channels)}. The published ones are "
                f"{list(MAP_CHANNELS)}."
            )

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint[CHECKPOINT_RECORD]["content_lines"] = None if self._given_maps else self.content_maps.detector.name

    @override
    def is_frozen(self, key: str) -> bool:
        return super().is_frozen(key) and not key.startswith(CONTROLNET)

    @override
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        if self.shuffle_patches:
            return self.model.encode_images(batch["images"], orders=self.patch_orders(batch))
        [features] = self.encoded("style", batch, lambda images: (self.model.encode_images(images),))
        return features

    @override
    def content_map(self, batch: ReferenceBatch, tokens: Tensor, dropped: Tensor) -> ContentMap:
        images = batch["images"]
        given = batch.get("content_maps") or [None] * len(images)
        self._given_maps |= any(own is not None for own in given)
        lines = [self.content_maps(image) if own is None else own for image, own in zip(images, given, strict=True)]
        size, fit = self.model.image_size, self.model.reference_fit
        pixels = torch.stack([to_pixels(framed(line, fit, (0, 0, 0)), size) for line in lines]) / 2 + 0.5
        pixels = pixels.masked_fill(dropped.to(pixels.device)[:, None, None, None], 0)
        return ContentMap(pixels.to(self.device), tokens, 1.0)
