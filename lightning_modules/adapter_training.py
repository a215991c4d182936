"""LightningModule of `fit`: trains an adapter by reconstructing style references (Zhu et al., arXiv 2502.07466)."""

from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm
from typing_extensions import override

from datamodules.batches import Reference, ReferenceBatch, ReferenceSource
from lightning_modules.adapters import Adapter, ImageAdapter, load_adapter_weights
from lightning_modules.conditions import Adapted, IPAdapter, subtract_content
from lightning_modules.conditions.trained import CHECKPOINT_RECORD, checkpoint_weights
from lightning_modules.diffusion.config import Backbone, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.finite import check_numbers
from lightning_modules.objectives import BoundedContrast, Draws, DropRates, Losses, Objective
from lightning_modules.picture_generator import PictureGenerator, say_what_is_cropped
from lightning_modules.reconstruction import Reconstruction

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion


class FrozenFeatures(NamedTuple):
    """The encodings of some references, float32."""

    latent_mean: Tensor  # (n, channels, height, width), scaled latents
    latent_std: Tensor  # (n, channels, height, width)
    image_feature: Tensor  # (n, dim), e

    def rows(self, indices: Sequence[int]) -> "FrozenFeatures":
        """The encodings of the references `indices` (batch,)."""
        places = torch.tensor(indices, device=self.image_feature.device)
        return FrozenFeatures(*(part[places] for part in self))

    def to(self, device: torch.device) -> "FrozenFeatures":
        """The same encodings on `device`."""
        return FrozenFeatures(*(part.to(device, non_blocking=True) for part in self))


class EncodedSet(NamedTuple):
    """The encodings of a train set on the CPU, at the index of each reference."""

    features: FrozenFeatures
    left_out: frozenset[int]
    """Indices of the references that could no longer be read; their encodings are those of others."""


class AdapterReconstruction(Reconstruction):
    """Trains the content feature f of an adapter; validates by generating with the adapter as it is.

    Args:
        adapter: class of the adapter, ImageAdapter or TextAdapter; it is built in the sizes of the backbone.
        objective: loss of the two predictions, BoundedContrast or PublishedObjective.
        backbone: names of the frozen weights.
        sampling: how pictures are sampled in validation.
        strength: lambda, the weight of the subtracted f, in training and inference.
        rescale: rescale f to the norm of e, in inference and, unless `rescale_in_training` says no, in training.
        rescale_in_training: False trains on e - strength * f as published, although `rescale` changes it later.
        dropped_image: "zero" trains a dropped image as P(0), which is what guidance uses; "negated" drops it before
            the subtraction, which without rescaling gives P(-strength * f), as published.
        drop: how often the image, the content word or both are dropped; a dropped word is the empty prompt.
        quality_prompt: the text beside which p is predicted.
        cache_features: encode the train references once, at the first step, and open no image afterwards.
            Leave `num_workers` at 0 with it: workers open the images of each step ahead, asked for or not.
        runtime: how the networks run.
        kwargs: further arguments of `Reconstruction`.
    """

    def __init__(
        self,
        adapter: type[Adapter] = ImageAdapter,
        objective: Objective = BoundedContrast(),
        backbone: Backbone = Backbone(),
        sampling: SamplingSettings = SamplingSettings(),
        strength: float = 1.0,
        rescale: bool = True,
        rescale_in_training: bool = True,
        dropped_image: Literal["zero", "negated"] = "zero",
        drop: DropRates = DropRates(),
        quality_prompt: str = "best quality, high quality",
        cache_features: bool = True,
        runtime: Runtime = Runtime(),
        **kwargs: Any,
    ) -> None:
        # The adapter's sizes are the backbone's, which is not loaded yet: until then nothing is subtracted.
        super().__init__(PictureGenerator(IPAdapter(), backbone, sampling, runtime=runtime), drop, **kwargs)
        check_numbers(strength=strength)
        self.adapter_class, self.objective = adapter, objective
        self.strength, self.rescale, self.rescale_in_training = strength, rescale, rescale and rescale_in_training
        self.dropped_image, self.quality_prompt = dropped_image, quality_prompt
        self.cache_features = cache_features
        self._encoded: EncodedSet | None = None

    @property
    @override
    def name(self) -> str:
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

    @override
    def build(self) -> None:
        projection: Any = self.model.image_projection
        sizes = {"dim": projection.dim, "text_dim": self.model.unet.config.cross_attention_dim}
        named = {name: size for name, size in sizes.items() if name in signature(self.adapter_class).parameters}
        # The weights depend on `seed` alone, whatever the device.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.random.default_generator.manual_seed(self.seed)
            adapter = self.adapter_class(**named)
        self.use(Adapted(adapter, self.strength, self.rescale), self.sampling)

    @override
    def setup(self, stage: str) -> None:
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

    @override
    def on_fit_start(self) -> None:
        super().on_fit_start()
        self._encoded = None

    def training_step(self, batch: ReferenceBatch, batch_idx: int) -> dict[str, Tensor]:
        """The losses of a batch, as means over the batches of all processes."""
        features = self._frozen_features(batch)
        draws, dropped, contents = self.drawn()
        content = self.generator.prompts(contents)
        v = self._edited(features.image_feature, content.states, dropped.image.to(self.device)[:, None])
        return self.reduced(self._losses(features, v, content, draws)._asdict())

    def _frozen_features(self, batch: ReferenceBatch) -> FrozenFeatures:
        """Encodings of the references of a batch that can be read."""
        if not self.cache_features:
            return encode_images(self.model, self.opened(batch)["images"])
        if "source" not in batch:
            raise ValueError(
                "`cache_features` needs batches that carry their `source`, as those of StyleReferences do. Train on "
                "such a datamodule, or set `cache_features` to false to encode the images of every batch."
            )
        source = batch["source"]
        self._encoded = self._encoded or self._encode(source)
        self.references = self._named(
            source.without(batch["references"], self._encoded.left_out), source, self._encoded
        )
        return self._encoded.features.rows([each.index for each in self.references]).to(self.device)

    def _named(self, references: Sequence[Reference], source: ReferenceSource, encoded: EncodedSet) -> list[Reference]:
        feature = encoded.features.image_feature
        return self.named(references, source, lambda each: feature[each.index][None])

    def _encode(self, source: ReferenceSource) -> EncodedSet:
        """All references of the train set and their texts, before the first step."""
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        show_progress = self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None
        encoded = encode_train_set(self.model, source, rank, world_size, show_progress)
        readable = [each for each in source.references if each.index not in encoded.left_out]
        words = {each.word for each in self._named(readable, source, encoded)}
        self.generator.prompts(["", self.quality_prompt, *sorted(words)])
        return encoded

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint[CHECKPOINT_RECORD] = {"kind": self.adapter.kind, **self.adapter.settings}

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        load_adapter_weights(self.adapter, *checkpoint_weights(checkpoint))

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
        model = self.model
        latents = features.latent_mean + features.latent_std * draws.latent_noise
        noisy = model.add_noise(latents, draws.noise, draws.timesteps)
        tokens = [model.project(v)]
        quality = model.conditions(self.generator.prompts([self.quality_prompt]).expand(len(v)), tokens)
        both = quality.joined(model.conditions(content, tokens))
        p, pc = model.predict_noise(torch.cat([noisy, noisy]), draws.timesteps.repeat(2), both).chunk(2)
        return self.objective(p, pc, model.target(latents, draws.noise, draws.timesteps))


def encode_images(model: "StableDiffusion", images: Sequence[Image.Image]) -> FrozenFeatures:
    """Encode images by the VAE and the image encoder, (len(images), ...)."""
    return FrozenFeatures(*model.encode_latents(images), model.encode_images(images))


def encode_train_set(
    model: "StableDiffusion", source: ReferenceSource, rank: int = 0, world_size: int = 1, show_progress: bool = True
) -> EncodedSet:
    """Encode each batch of consecutive references on one process, and give the whole to every process."""
    size = len(source.references)
    starts = range(0, size, source.batch_size)[rank::world_size]  # the images of the others are not even opened here
    indices: list[int] = []
    encoded = []
    for start in tqdm(starts, "Encoding references", unit="batch", disable=not show_progress):
        batch = source.open(range(start, min(start + source.batch_size, size)))
        say_what_is_cropped(model, batch["references"], batch["images"])
        indices += [reference.index for reference in batch["references"]]
        encoded.append(encode_images(model, batch["images"]).to(torch.device("cpu")))
    shares = [(indices, encoded)] * world_size
    if world_size > 1:  # shares differ in size, and go through main memory, not through an accelerator's
        group = torch.distributed.new_group(backend="gloo")
        torch.distributed.all_gather_object(shares, (indices, encoded), group=group)
        torch.distributed.destroy_process_group(group)
    rows = {index: row for row, index in enumerate(index for share, _ in shares for index in share)}
    features = FrozenFeatures(*map(torch.cat, zip(*(batch for _, share in shares for batch in share), strict=True)))
    # One that stands in comes twice, at its own index.
    return EncodedSet(features.rows([rows.get(i, 0) for i in range(size)]), frozenset(range(size)) - rows.keys())
