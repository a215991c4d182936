"""What both stages of StyleShot's training (Gao et al., arXiv 2407.01414) have in common."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor
from typing_extensions import override

from datamodules.batches import ReferenceBatch
from lightning_modules.diffusion.encoders import EncodedOnce, Text
from lightning_modules.diffusion.ip_adapter import cross_attention_layers
from lightning_modules.diffusion.unet_inputs import ContentMap
from lightning_modules.finite import check_numbers
from lightning_modules.objectives import DropRates, noise_weights, patch_orders, squared_error
from lightning_modules.picture_generator import PictureGenerator
from lightning_modules.reconstruction import Reconstruction
from lightning_modules.styleshot.pyramid import PATCHES

CHECKPOINT_RECORD = "styleshot"
"""Key of a Lightning checkpoint under which `{"layers": [...], "heads": ...}` is kept."""
PROJECTION, IMAGE_ATTENTION = "diffusion.image_projection.", ".processor.to_"
"""What the names of the projection's tensors begin with, and what those of the image attention hold."""


class StyleShotReconstruction(Reconstruction):
    """Base of both stages: denoises images under their own style and their captions, which name no style.

    Args:
        snr_gamma: bound of min-SNR weighting (arXiv 2303.09556), 5 as a rule; null weights all noise levels alike.
        noisy_weight: noisy inputs weigh up to so many times more; 1 weights them alike.
        cache_features: keep what the frozen encoders say of each image in memory after its first use: its latents,
            and its style features where no patches are shuffled. For sets of some thousand images.
        shuffle_patches: read the patches of each image and level in an order of their own each epoch, as published.
        kwargs: further arguments of `Reconstruction`.
    """

    def __init__(
        self,
        generator: PictureGenerator,
        drop: DropRates,
        snr_gamma: float | None = None,
        noisy_weight: float = 1.0,
        cache_features: bool = False,
        shuffle_patches: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(generator, drop, **kwargs)
        check_numbers(snr_gamma=snr_gamma, noisy_weight=noisy_weight)
        if (snr_gamma is not None and snr_gamma <= 0) or noisy_weight < 1:
            raise ValueError(
                "`snr_gamma` must be above 0, or null, and `noisy_weight` at least 1; got "
                f"{snr_gamma} and {noisy_weight}. null and 1 weight all noise levels alike, as published."
            )
        self.snr_gamma, self.noisy_weight = snr_gamma, noisy_weight
        self.cache_features, self.shuffle_patches = cache_features, shuffle_patches
        self._encoded = EncodedOnce(apart=True)

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        self._encoded = EncodedOnce(apart=True)
        if self.backbone.dtype != "float32":
            raise ValueError(
                f"`dtype` of the backbone is {self.backbone.dtype}, in which StyleShot's weights would be trained too, "
                "whose rounding swallows the steps of the optimizer. Give `--model.backbone.dtype float32` and, to "
                "save memory, `--trainer.precision bf16-mixed`."
            )

    @override
    def configure_model(self) -> None:
        super().configure_model()
        kind = self.model.training_scheduler.config.prediction_type
        if self.noisy_weight > 1 and kind != "epsilon":
            raise ValueError(
                f"`noisy_weight` is {self.noisy_weight}, which weights the errors of a predicted noise, but `model` "
                f"predicts {kind!r}, whose errors weigh noisy inputs differently by themselves. Leave it at 1."
            )

    @override
    def on_validation_start(self) -> None:
        self.generator.forget()  # the style encoder has learnt since

    @override
    def is_frozen(self, key: str) -> bool:
        return super().is_frozen(key) and not (key.startswith(PROJECTION) or IMAGE_ATTENTION in key)

    @abstractmethod
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        """Style features `(batch, 3, dim)`, float32."""

    def content_map(self, batch: ReferenceBatch, tokens: Tensor, dropped: Tensor) -> ContentMap | None:
        """The lines that images follow, black where `dropped` `(batch,)`, for tokens `(batch, 6, C)` of their style."""

    def patch_orders(self, batch: ReferenceBatch) -> list[Tensor] | None:
        """The order in which the patches of each image are read on each level; None: the canonical one."""
        if not self.shuffle_patches:
            return None
        return patch_orders(self.seed, self.current_epoch, [each.index for each in batch["references"]], PATCHES)

    def training_step(self, batch: ReferenceBatch, batch_idx: int) -> dict[str, Tensor]:
        """The loss of a batch, as mean over the batches of all processes."""
        batch, model = self.opened(batch), self.model
        draws, dropped, captions = self.drawn()
        features = self.style_features(batch).masked_fill(dropped.image.to(self.device)[:, None, None], 0)
        tokens = model.project(features)
        text = self._captions(captions)
        mean, std = self.encoded("latents", batch, model.encode_latents)
        latents = mean + std * draws.latent_noise
        noisy = model.add_noise(latents, draws.noise, draws.timesteps)
        content_map = self.content_map(batch, tokens, dropped.content_map)
        conditions = model.conditions(text, [tokens])._replace(content_map=content_map)
        target = model.target(latents, draws.noise, draws.timesteps)
        error = squared_error(model.predict_noise(noisy, draws.timesteps, conditions), target)
        return self.reduced({"total": error * self._weights(draws.timesteps)})

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        encoder: Any = self.model.image_encoder
        heads = encoder.config.vision.num_attention_heads
        checkpoint[CHECKPOINT_RECORD] = {"layers": cross_attention_layers(self.model.unet), "heads": heads}

    def _weights(self, timesteps: Tensor) -> Tensor:
        scheduler = self.model.training_scheduler
        alphas = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
        snr, kind = alphas / (1 - alphas), scheduler.config.prediction_type
        return noise_weights(snr, self.snr_gamma, self.noisy_weight, kind)

    def _captions(self, captions: list[str]) -> Text:
        """Each caption is encoded once a batch; a run has too many of them to keep."""
        different = list(dict.fromkeys(captions))
        rows = [different.index(caption) for caption in captions]
        return Text(*(part[rows] for part in self.model.encode_prompts(different)))

    def encoded(
        self, kind: str, batch: ReferenceBatch, encode: Callable[[list[Image.Image]], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What a frozen network says of the images of a batch, kept if `cache_features` says so."""
        keys = [reference.key for reference in batch["references"]]
        return self._encoded(kind, keys, batch["images"], encode) if self.cache_features else encode(batch["images"])
