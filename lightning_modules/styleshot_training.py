"""LightningModules of `fit`: both stages of StyleShot (Gao et al., arXiv 2407.01414)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from datamodules.batches import ReferenceBatch
from lightning_modules.conditions import StyleShot
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import framed, to_pixels
from lightning_modules.diffusion.ip_adapter import install_attention
from lightning_modules.diffusion.unet_inputs import ContentMap
from lightning_modules.objectives import DropRates, FusionDropRates
from lightning_modules.picture_generator import PictureGenerator
from lightning_modules.styleshot.detectors import Detector
from lightning_modules.styleshot.pyramid import MAP_CHANNELS, PatchSizes
from lightning_modules.styleshot_reconstruction import (
    CHECKPOINT_RECORD,
    IMAGE_ATTENTION,
    PROJECTION,
    StyleShotReconstruction,
)

ENCODER, CONTROLNET = "diffusion.image_encoder.", "diffusion.controlnet."
"""What the names of the tensors begin with that the first and the second stage train."""
_CLIP = f"{ENCODER}image_encoder."
_UNUSED = "vision_model.embeddings."  # the style encoder cuts patches of its own in place of CLIP's


class StyleEncoderReconstruction(StyleShotReconstruction):
    """Trains the style encoder, its projection and the image attention: StyleShot's first stage.

    A backbone without `style_encoder` gives the start: its CLIP image encoder becomes the transformer of a new style
    encoder. One with `style_encoder` is trained on from there.

    Args:
        backbone: names of the first weights.
        patches: sizes of a new style encoder's CNNs.
        sampling: how pictures are sampled in validation.
        drop: how often the image, its caption or both are dropped; as published by default.
        freeze_clip: leave the transformer as the CLIP image encoder has it, as published, and train what is around it.
        runtime: how the networks run.
        kwargs: arguments of `StyleShotReconstruction`.
    """

    name = "style_encoder"

    def __init__(
        self,
        backbone: Backbone = Backbone(),
        patches: PatchSizes = PatchSizes(),
        sampling: SamplingSettings = SamplingSettings(),
        drop: DropRates = DropRates(image=0.25, content=0.0, both=0.05),
        freeze_clip: bool = True,
        runtime: Runtime = Runtime(),
        **kwargs: Any,
    ) -> None:
        super().__init__(PictureGenerator(StyleShot(), backbone, sampling, runtime=runtime), drop, **kwargs)
        self.patches, self.freeze_clip = patches, freeze_clip

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        if self.generator.runtime.offload:
            raise ValueError(
                "`offload` of the runtime would send the style encoder off the accelerator between its forward and its "
                "backward pass. Leave it out; `gradient_checkpointing` and smaller batches save memory too."
            )

    @override
    def build(self) -> None:
        from lightning_modules.styleshot.weights import new_projection, new_style_encoder, text_attention

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


class ContentFusionReconstruction(StyleShotReconstruction):
    """Trains the content-fusion ControlNet on the lines of the images, all else being frozen: StyleShot's second stage.

    It starts from the UNet, or from the ControlNet of the backbone where `content_fusion` asks for that.

    Args:
        backbone: names of the frozen weights, with `style_encoder`.
        map_channels: channels of a new ControlNet's convolutions that read the lines.
        detector: draws the lines of images that come without a content map; null: those of the backbone's
            `content_lines`, or edges.
        map_folder: keeps these lines from run to run; null keeps them in memory.
        sampling: how pictures are sampled in validation.
        drop: how often the image's style, its caption, its lines or several are dropped; as published by default.
        runtime: how the networks run.
        kwargs: arguments of `StyleShotReconstruction`.
    """

    name = "content_fusion"

    def __init__(
        self,
        backbone: Backbone = Backbone(),
        map_channels: Sequence[int] = MAP_CHANNELS,
        detector: Detector | None = None,
        map_folder: str | None = None,
        sampling: SamplingSettings = SamplingSettings(),
        drop: FusionDropRates = FusionDropRates(),
        runtime: Runtime = Runtime(),
        **kwargs: Any,
    ) -> None:
        generator = PictureGenerator(
            StyleShot(), backbone, sampling, runtime=runtime, detector=detector, map_folder=map_folder
        )
        super().__init__(generator, drop, **kwargs)
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
        from lightning_modules.styleshot.weights import controlnet_from_unet

        model: Any = self.model
        if model.controlnet is None:
            levels = len(model.vae.config.block_out_channels)
            if len(self.map_channels) != levels:
                raise ValueError(
                    f"`map_channels` must be {levels} numbers, each but the first halving the lines, to bring them to "
                    f"the size of this VAE's latents; got {list(self.map_channels)}. The published ones are "
                    f"{list(MAP_CHANNELS)}."
                )
            model.controlnet = controlnet_from_unet(model.unet, self.map_channels, self.seed).to(self.device).eval()
        model.controlnet.requires_grad_(True)
        if self.gradient_checkpointing:
            model.controlnet.enable_gradient_checkpointing()

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        lines = None if self._given_maps else self.generator.content_maps.detector.name
        checkpoint[CHECKPOINT_RECORD]["content_lines"] = lines

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
        draw_lines = self.generator.content_maps
        lines = [draw_lines(image) if own is None else own for image, own in zip(images, given, strict=True)]
        size, fit = self.model.image_size, self.model.reference_fit
        pixels = torch.stack([to_pixels(framed(line, fit, (0, 0, 0)), size) for line in lines]) / 2 + 0.5
        pixels = pixels.masked_fill(dropped.to(pixels.device)[:, None, None, None], 0)
        return ContentMap(pixels.to(self.device), tokens, 1.0)
