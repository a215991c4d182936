"""LightningModules that train StyleShot (Gao et al., arXiv 2407.01414): its style encoder, then its content fusion."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from PIL import Image
from torch import Tensor
from typing_extensions import override

from datamodules.batches import ReferenceBatch
from lightning_modules.conditions import StyleShot
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.ip_adapter import cross_attention_layers, install_attention
from lightning_modules.diffusion.latents import LatentMoments, to_pixels
from lightning_modules.draws import DropRates, draw
from lightning_modules.encoded_once import EncodedOnce
from lightning_modules.objectives import noise_weights, squared_error
from lightning_modules.reconstruction import Reconstruction
from lightning_modules.styleshot.detectors import Detector
from lightning_modules.styleshot.pyramid import centre_crop
from lightning_modules.styleshot.sizes import MAP_CHANNELS, PatchSizes

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import ContentMap

CHECKPOINT_RECORD = "styleshot"
"""Key of a Lightning checkpoint under which `{"layers": [...], "heads": ...}` is kept."""
_PROJECTION, _ENCODER, _CONTROLNET = (
    f"diffusion.{part}." for part in ("image_projection", "image_encoder", "controlnet")
)
_IMAGE_ATTENTION = ".processor.to_"
# The style encoder cuts patches of its own in place of CLIP's.
_UNUSED = "vision_model.embeddings."


class StyleShotLoss(TypedDict):
    """The loss of one batch, 0-dim."""

    loss: Tensor


class StyleShotReconstruction(Reconstruction):
    """Base of both stages: denoises images under their own style and their captions, which name no style.

    Args:
        snr_gamma: bound of min-SNR weighting, see `objectives.noise_weights`; None: no such weighting.
        noisy_weight: bound up to which noisy inputs weigh more, at least 1.
        cache_features: keep what the frozen encoders say of an image after its first use.
        kwargs: arguments of `Reconstruction`.
    """

    def __init__(self, snr_gamma: float | None, noisy_weight: float, cache_features: bool, **kwargs: Any) -> None:
        super().__init__(condition=StyleShot(), **kwargs)
        if (snr_gamma is not None and snr_gamma <= 0) or noisy_weight < 1:
            raise ValueError(
                "`snr_gamma` must be above 0, or null, and `noisy_weight` at least 1; got "
                f"{snr_gamma} and {noisy_weight}. null and 1 weight all noise levels alike, as published."
            )
        self.snr_gamma, self.noisy_weight, self.cache_features = snr_gamma, noisy_weight, cache_features
        self._encoded = EncodedOnce()

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        self._encoded = EncodedOnce()
        if self.backbone.dtype != "float32":
            raise ValueError(
                f"`dtype` of the backbone is {self.backbone.dtype}, in which StyleShot's weights, which lie within the "
                "UNet, would be trained too. Give `--model.backbone.dtype float32` and, to save memory, "
                "`--trainer.precision bf16-mixed`."
            )

    @override
    def on_validation_start(self) -> None:
        self._memory = EncodedOnce()  # the style encoder has learnt since

    @override
    def is_frozen(self, key: str) -> bool:
        """Whether a tensor comes from the backbone; image attention and projection are always kept."""
        return super().is_frozen(key) and not (key.startswith(_PROJECTION) or _IMAGE_ATTENTION in key)

    @abstractmethod
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        """Style features `(batch, 3, dim)`, float32."""

    def content_map(self, batch: ReferenceBatch, tokens: Tensor) -> "ContentMap | None":
        """The lines that the images follow, for tokens `(batch, 6, C)` of their style."""
        return None

    def training_step(self, batch: ReferenceBatch, batch_idx: int) -> StyleShotLoss:
        """The loss of a batch, as mean over the batches of all processes."""
        references, model = batch["references"], self.model
        indices = [reference.index for reference in references]
        draws = draw(self.seed, self.current_epoch, indices, model.latent_shape, self._n_timesteps).to(self.device)
        dropped = self.drop(draws.u)
        features = self.style_features(batch).masked_fill(dropped.image[:, None, None], 0)
        tokens = model.project(features)
        words = zip(references, dropped.content.tolist(), strict=True)
        text = self._captions(["" if is_dropped else word.content for word, is_dropped in words])
        mean, std = self._moments(batch)
        noisy = model.add_noise(mean + std * draws.latent_noise, draws.noise, draws.timesteps)
        conditions = model.conditions(text, [tokens])._replace(content_map=self.content_map(batch, tokens))
        error = squared_error(model.predict_noise(noisy, draws.timesteps, conditions), draws.noise)
        return self._reduced(error * self._weights(draws.timesteps))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what the names of the weights do not tell."""
        encoder: Any = self.model.image_encoder
        heads = encoder.config.vision.num_attention_heads
        checkpoint[CHECKPOINT_RECORD] = {"layers": cross_attention_layers(self.model.unet), "heads": heads}

    def _weights(self, timesteps: Tensor) -> Tensor:
        alphas = self.model.training_scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
        return noise_weights(alphas / (1 - alphas), self.snr_gamma, self.noisy_weight)

    def _captions(self, captions: list[str]) -> Text:
        """Each caption is encoded once a batch; a run has too many of them to keep."""
        different = list(dict.fromkeys(captions))
        rows = [different.index(caption) for caption in captions]
        return Text(*(part[rows] for part in self.model.encode_prompts(different)))

    def _moments(self, batch: ReferenceBatch) -> LatentMoments:
        return LatentMoments(*self.encoded("latents", batch, self.model.encode_latents))

    def encoded(
        self, kind: str, batch: ReferenceBatch, encode: Callable[[list[Image.Image]], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What a frozen network says of the images of a batch, kept if `cache_features` says so."""
        keys = [reference.key for reference in batch["references"]]
        return self._encoded(kind, keys, batch["images"], encode) if self.cache_features else encode(batch["images"])

    def _reduced(self, errors: Tensor) -> StyleShotLoss:
        part, means = self._joint_means(errors.sum()[None], len(errors))
        self.log("loss/total", means[0], prog_bar=True, batch_size=len(errors))
        return {"loss": part[0]}


class StyleEncoderReconstruction(StyleShotReconstruction):
    """First stage: trains the style encoder, its projection and the image attention.

    A backbone without `style_encoder` gives the start: its CLIP image encoder becomes the transformer of a new style
    encoder. One with `style_encoder` is trained on from there.

    Args:
        backbone: names of the first weights.
        patches: sizes of a new style encoder's CNNs.
        sampling: how pictures are sampled in validation.
        optimizer: optimizer of the trained parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        drop: how often the image, its caption or both are dropped.
        snr_gamma: bound of min-SNR weighting (arXiv 2303.09556), 5 as a rule; null weights all noise levels alike.
        noisy_weight: noisy inputs weigh up to so many times more; 1 weights them alike.
        cache_features: keep the latents of each image in memory after its first use: for sets of some thousand images.
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
        drop: DropRates = DropRates(),
        snr_gamma: float | None = None,
        noisy_weight: float = 1.0,
        cache_features: bool = False,
        gradient_checkpointing: bool = False,
        seed: int = 42,
        runtime: Runtime = Runtime(),
    ) -> None:
        super().__init__(
            snr_gamma,
            noisy_weight,
            cache_features,
            backbone=backbone,
            sampling=sampling,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
            drop=drop,
            gradient_checkpointing=gradient_checkpointing,
            seed=seed,
            runtime=runtime,
        )
        self.patches = patches

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
            learns = name.startswith((_PROJECTION, _ENCODER)) or _IMAGE_ATTENTION in name
            parameter.requires_grad_(learns and _UNUSED not in name)

    @override
    def is_frozen(self, key: str) -> bool:
        return super().is_frozen(key) and not key.startswith(_ENCODER)

    @override
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        encoder: Any = self.model.image_encoder
        pixels = torch.stack([centre_crop(image, encoder.config.image_size) for image in batch["images"]])
        features: Tensor = encoder.encode(pixels.to(self.device))
        return features.float()


class ContentFusionReconstruction(StyleShotReconstruction):
    """Second stage: trains the content-fusion ControlNet on the lines of the images, all else being frozen.

    It starts from the UNet, or from the ControlNet of the backbone where `content_fusion` asks for that.

    Args:
        backbone: names of the frozen weights, with `style_encoder`.
        map_channels: channels of a new ControlNet's convolutions that read the lines.
        detector: draws the lines of images that come without a content map; null: EdgeDetector.
        map_folder: keeps these lines from run to run; null keeps them in memory.
        sampling: how pictures are sampled in validation.
        optimizer: optimizer of the trained parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        drop: how often the image's style, its caption or both are dropped.
        snr_gamma: bound of min-SNR weighting (arXiv 2303.09556), 5 as a rule; null weights all noise levels alike.
        noisy_weight: noisy inputs weigh up to so many times more; 1 weights them alike.
        cache_features: keep latents and style features of each image in memory after its first use.
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
        drop: DropRates = DropRates(),
        snr_gamma: float | None = None,
        noisy_weight: float = 1.0,
        cache_features: bool = False,
        gradient_checkpointing: bool = False,
        seed: int = 42,
        runtime: Runtime = Runtime(),
    ) -> None:
        super().__init__(
            snr_gamma,
            noisy_weight,
            cache_features,
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

    @override
    def build(self) -> None:
        from lightning_modules.styleshot.content_fusion import controlnet_from_unet

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
    def is_frozen(self, key: str) -> bool:
        return super().is_frozen(key) and not key.startswith(_CONTROLNET)

    @override
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        [features] = self.encoded("style", batch, lambda images: (self.model.encode_images(images),))
        return features

    @override
    def content_map(self, batch: ReferenceBatch, tokens: Tensor) -> "ContentMap":
        from lightning_modules.diffusion.stable_diffusion import ContentMap

        images = batch["images"]
        given = batch.get("content_maps") or [None] * len(images)
        lines = [self.content_maps(image) if own is None else own for image, own in zip(images, given, strict=True)]
        size = self.model.image_size
        pixels = torch.stack([to_pixels(line, size) for line in lines]) / 2 + 0.5
        return ContentMap(pixels.to(self.device), tokens, 1.0)
