"""LightningModule of `fit`: trains an adapter by reconstructing style references (Zhu et al., arXiv 2502.07466)."""

from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from datamodules.batches import ReferenceBatch
from lightning_modules.adapters import Adapter, ImageAdapter, load_adapter_weights
from lightning_modules.conditions import Adapted, IPAdapter, subtract_content
from lightning_modules.conditions.trained import CHECKPOINT_RECORD, checkpoint_weights
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.draws import Draws, DropRates, draw
from lightning_modules.feature_cache import FrozenFeatures, encode_images, encode_references
from lightning_modules.finite import check_numbers
from lightning_modules.objectives import BoundedContrast, Losses, Objective
from lightning_modules.outputs import ReconstructionLosses
from lightning_modules.reconstruction import Reconstruction

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion


class AdapterReconstruction(Reconstruction):
    """Trains the content feature f of an adapter; validates by generating with the adapter as it is.

    Args:
        adapter: class of the adapter, ImageAdapter or TextAdapter; it is built in the sizes of the backbone.
        objective: loss of the two predictions, BoundedContrast or PublishedObjective.
        backbone: names of the frozen weights.
        sampling: how pictures are sampled in validation.
        optimizer: optimizer of the adapter's parameters.
        lr_scheduler: schedule of the learning rate, advanced every step.
        strength: lambda, the weight of the subtracted f, in training and inference.
        rescale: rescale f to the norm of e, in inference and, unless `rescale_in_training` says no, in training.
        rescale_in_training: False trains on e - strength * f as published, although `rescale` changes it later.
        dropped_image: "zero" trains a dropped image as P(0), which is what guidance uses; "negated" drops it before
            the subtraction, which without rescaling gives P(-strength * f), as published.
        drop: how often the image, the content word or both are dropped; a dropped word is the empty prompt.
        quality_prompt: the text beside which p is predicted.
        cache_features: encode the train references once, before the first step, and open no image afterwards.
        gradient_checkpointing: recompute the UNet's activations in the backward pass, to save memory.
        seed: seed of the adapter's first weights and of all that is drawn in training, at least 0.
        runtime: how the networks run.
    """

    def __init__(
        self,
        adapter: type[Adapter] = ImageAdapter,
        objective: Objective = BoundedContrast(),
        backbone: Backbone = Backbone(),
        sampling: SamplingSettings = SamplingSettings(),
        optimizer: OptimizerCallable = lambda params: torch.optim.AdamW(params, lr=1e-5, weight_decay=1e-2),
        lr_scheduler: LRSchedulerCallable | None = None,
        strength: float = 1.0,
        rescale: bool = True,
        rescale_in_training: bool = True,
        dropped_image: Literal["zero", "negated"] = "zero",
        drop: DropRates = DropRates(),
        quality_prompt: str = "best quality, high quality",
        cache_features: bool = True,
        gradient_checkpointing: bool = False,
        seed: int = 42,
        runtime: Runtime = Runtime(),
    ) -> None:
        # The adapter's sizes are the backbone's, which is not loaded yet: until then nothing is subtracted.
        super().__init__(
            IPAdapter(), backbone, sampling, optimizer, lr_scheduler, drop, gradient_checkpointing, seed, runtime
        )
        check_numbers(strength=strength)
        self.adapter_class, self.objective = adapter, objective
        self.strength, self.rescale, self.rescale_in_training = strength, rescale, rescale and rescale_in_training
        self.dropped_image, self.quality_prompt = dropped_image, quality_prompt
        self.cache_features = cache_features
        self._cache: FrozenFeatures | None = None

    @property
    def name(self) -> str:
        """Short name of the method: "image_adapter" or "text_adapter"."""
        return self.adapter_class.name

    @property
    def adapter(self) -> Adapter:
        """The adapter in training.

        Raises:
            RuntimeError: the sizes of the backbone are not known yet.
        """
        if not isinstance(self.condition, Adapted):
            raise RuntimeError(
                "`adapter` is not built yet, because its sizes are the backbone's. Run the module by a Trainer, or "
                "call `configure_model()` first."
            )
        return self.condition.adapter

    def build(self) -> None:
        """Build the adapter."""
        adapter = _build_adapter(self.adapter_class, self.model, self.seed)
        self.condition = Adapted(adapter, self.strength, self.rescale)

    def setup(self, stage: str) -> None:
        """Refuse what cannot be trained, before anything is loaded or evaluated.

        Raises:
            ValueError: float16 weights without a scaled loss, or a backbone whose image feature has levels.
        """
        super().setup(stage)
        if self.backbone.style_encoder is not None:
            raise ValueError(
                "`style_encoder` is set: the adapters are trained on the one image feature of an IP-Adapter, not on "
                "StyleShot's three. Leave it out, and name an IP-Adapter by `--model.backbone.ip_adapter`."
            )
        if self.backbone.dtype == "float16" and self.trainer.precision != "16-mixed":
            raise ValueError(
                f"`precision` of the Trainer is {self.trainer.precision!r}, but the frozen weights are float16, in "
                "which small gradients vanish unless the loss is scaled. Give `--trainer.precision 16-mixed`, or "
                "`--model.backbone.dtype bfloat16`."
            )

    def on_fit_start(self) -> None:
        """Encode the train references and the texts, before the training loader is asked for."""
        super().on_fit_start()
        self._cache = None
        if self.cache_features:
            self._fill_cache()

    def _fill_cache(self) -> None:
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        if not hasattr(datamodule, "encoding_dataloader"):
            raise ValueError(
                f"`cache_features` needs the `encoding_dataloader` of a datamodule such as StyleReferences, got "
                f"{type(datamodule).__name__}. Pass one to `fit`, or set `cache_features` to false to encode the "
                "images of every batch."
            )
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        show_progress = self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None
        encoded = encode_references(self.model, datamodule.encoding_dataloader(), rank, world_size, show_progress)
        self._cache = encoded.features
        self._prompts(["", self.quality_prompt, *sorted({reference.content for reference in encoded.references})])
        datamodule.keys_only, datamodule.left_out = True, encoded.left_out

    def training_step(self, batch: ReferenceBatch, batch_idx: int) -> ReconstructionLosses:
        """The losses of a batch, as means over the batches of all processes."""
        references, device = batch["references"], self.device
        indices = [reference.index for reference in references]
        features = self._frozen_features(batch, indices).to(device)
        draws = draw(self.seed, self.current_epoch, indices, self.model.latent_shape, self._n_timesteps)
        dropped = self.drop(draws.u)
        words = zip(references, dropped.content.tolist(), strict=True)
        content = self._prompts(["" if is_dropped else word.content for word, is_dropped in words])
        feature = self._edited(features.image_feature, content.states, dropped.image.to(device)[:, None])
        losses = self._losses(features, feature, content, draws.to(device))
        return self._reduced(losses)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record which adapter the weights belong to."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[CHECKPOINT_RECORD] = {"kind": self.adapter.kind, **self.adapter.settings}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the weights of another adapter.

        Raises:
            ValueError: the class, keys or sizes of the adapter in the checkpoint do not fit.
        """
        load_adapter_weights(self.adapter, *checkpoint_weights(checkpoint))

    def _frozen_features(self, batch: ReferenceBatch, indices: list[int]) -> FrozenFeatures:
        if self._cache is not None:
            return self._cache.rows(indices)
        return encode_images(self.model, batch["images"])

    def _edited(self, e: Tensor, content_states: Tensor, dropped: Tensor) -> Tensor:
        """v (batch, dim) in float32, where `dropped` (batch, 1) images count as zero before or after subtraction."""
        with torch.autocast(e.device.type, enabled=False):
            if self.dropped_image == "negated":
                e = e.masked_fill(dropped, 0)
            f = self.adapter(e, content_states)
            v = subtract_content(e, f, self.strength, norm_matched=self.rescale_in_training)
            return v.masked_fill(dropped, 0) if self.dropped_image == "zero" else v

    def _losses(self, features: FrozenFeatures, v: Tensor, content: Text, draws: Draws) -> Losses:
        """The losses of each sample; both predictions are one UNet call of 2 * batch rows."""
        model, rows = self.model, len(v)
        latents = features.sample_latents(draws.latent_noise)
        noisy = model.add_noise(latents, draws.noise, draws.timesteps)
        tokens = [model.project(v)]
        quality = model.conditions(self._prompts([self.quality_prompt]).expand(rows), tokens)
        both = quality.joined(model.conditions(content, tokens))
        p, pc = model.predict_noise(torch.cat([noisy, noisy]), draws.timesteps.repeat(2), both).chunk(2)
        return self.objective(p, pc, model.target(latents, draws.noise, draws.timesteps))

    def _reduced(self, losses: Losses) -> ReconstructionLosses:
        """Means over all processes; the one that is differentiated is that of the joint batch."""
        rows = len(losses.total)
        part, means = self._joint_means(torch.stack([each.sum() for each in losses]), rows)
        logged = {f"loss/{name}": mean for name, mean in zip(("total", *Losses._fields[1:]), means, strict=True)}
        self.log_dict(logged, prog_bar=True, batch_size=rows)
        return {"loss": part[0], "reconstruction": means[1], "contrast": means[2]}


def _build_adapter(adapter: type[Adapter], model: "StableDiffusion", seed: int) -> Adapter:
    """A new adapter in the backbone's sizes, whose weights depend on `seed` alone, whatever the device."""
    projection: Any = model.image_projection
    sizes = {"dim": projection.dim, "text_dim": model.unet.config.cross_attention_dim}
    named = {name: size for name, size in sizes.items() if name in signature(adapter).parameters}
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.random.default_generator.manual_seed(seed)
        return adapter(**named)
