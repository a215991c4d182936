"""What both stages of StyleShot's training (Gao et al., arXiv 2407.01414) have in common."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypedDict

from PIL import Image
from torch import Tensor
from typing_extensions import override

from datamodules.batches import ReferenceBatch
from lightning_modules.conditions import StyleShot
from lightning_modules.diffusion.encoders import LatentMoments, Text
from lightning_modules.diffusion.ip_adapter import cross_attention_layers
from lightning_modules.diffusion.unet_inputs import ContentMap
from lightning_modules.draws import draw, patch_orders
from lightning_modules.encoded_once import EncodedOnce
from lightning_modules.finite import check_numbers
from lightning_modules.objectives import noise_weights, squared_error
from lightning_modules.reconstruction import Reconstruction
from lightning_modules.styleshot.pyramid import PATCHES

CHECKPOINT_RECORD = "styleshot"
"""Key of a Lightning checkpoint under which `{"layers": [...], "heads": ...}` is kept."""
PROJECTION, IMAGE_ATTENTION = "diffusion.image_projection.", ".processor.to_"
"""What the names of the projection's tensors begin with, and what those of the image attention hold."""


class StyleShotLoss(TypedDict):
    """The loss of one batch, 0-dim."""

    loss: Tensor


class StyleShotReconstruction(Reconstruction):
    """Base of both stages: denoises images under their own style and their captions, which name no style.

    Args:
        snr_gamma: bound of min-SNR weighting, see `objectives.noise_weights`; None: no such weighting.
        noisy_weight: bound up to which noisy inputs weigh more, at least 1.
        cache_features: keep what the frozen encoders say of an image after its first use.
        shuffle_patches: the style encoder reads the patches of each level in an order of their own each epoch.
        kwargs: arguments of `Reconstruction`.
    """

    def __init__(
        self, snr_gamma: float | None, noisy_weight: float, cache_features: bool, shuffle_patches: bool, **kwargs: Any
    ) -> None:
        super().__init__(condition=StyleShot(), **kwargs)
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
        self._memory = EncodedOnce()  # the style encoder has learnt since

    @override
    def is_frozen(self, key: str) -> bool:
        """Whether a tensor comes from the backbone; image attention and projection are always kept."""
        return super().is_frozen(key) and not (key.startswith(PROJECTION) or IMAGE_ATTENTION in key)

    @abstractmethod
    def style_features(self, batch: ReferenceBatch) -> Tensor:
        """Style features `(batch, 3, dim)`, float32."""

    def content_map(self, batch: ReferenceBatch, tokens: Tensor, dropped: Tensor) -> ContentMap | None:
        """The lines that images follow, black where `dropped` `(batch,)`, for tokens `(batch, 6, C)` of their style."""
        return None

    def patch_orders(self, batch: ReferenceBatch) -> list[Tensor] | None:
        """The order in which the patches of each image are read on each level; None: the canonical one."""
        if not self.shuffle_patches:
            return None
        return patch_orders(self.seed, self.current_epoch, [each.index for each in batch["references"]], PATCHES)

    def training_step(self, batch: ReferenceBatch, batch_idx: int) -> StyleShotLoss:
        """The loss of a batch, as mean over the batches of all processes."""
        references, model = batch["references"], self.model
        indices = [reference.index for reference in references]
        draws = draw(self.seed, self.current_epoch, indices, model.latent_shape, self._n_timesteps).to(self.device)
        dropped = self.drop(draws.u)
        features = self.style_features(batch).masked_fill(dropped.image.to(self.device)[:, None, None], 0)
        tokens = model.project(features)
        words = zip(references, dropped.content.tolist(), strict=True)
        text = self._captions(["" if is_dropped else word.content for word, is_dropped in words])
        mean, std = self._moments(batch)
        latents = mean + std * draws.latent_noise
        noisy = model.add_noise(latents, draws.noise, draws.timesteps)
        content_map = self.content_map(batch, tokens, dropped.content_map)
        conditions = model.conditions(text, [tokens])._replace(content_map=content_map)
        target = model.target(latents, draws.noise, draws.timesteps)
        error = squared_error(model.predict_noise(noisy, draws.timesteps, conditions), target)
        return self._reduced(error * self._weights(draws.timesteps))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what the names of the weights do not tell."""
        super().on_save_checkpoint(checkpoint)
        encoder: Any = self.model.image_encoder
        heads = encoder.config.vision.num_attention_heads
        checkpoint[CHECKPOINT_RECORD] = {"layers": cross_attention_layers(self.model.unet), "heads": heads}

    def _weights(self, timesteps: Tensor) -> Tensor:
        scheduler = self.model.training_scheduler
        alphas = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
        kind = scheduler.config.prediction_type
        return noise_weights(alphas / (1 - alphas), self.snr_gamma, self.noisy_weight, kind)

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
