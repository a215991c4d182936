"""LightningModule of `validate`, `test` and `predict`: references and prompts to pictures."""

import warnings
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from lightning import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch import Tensor

from datamodules.batches import JobBatch, Reference
from lightning_modules.conditions import Condition, Conditioned
from lightning_modules.diffusion.config import Backbone, ReferenceMix, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.unet_inputs import check_precision
from lightning_modules.encoded_once import EncodedOnce
from lightning_modules.frozen_state import FROZEN, drop_frozen, fingerprint, forgive_frozen, loaded_fingerprint
from lightning_modules.outputs import JSON, Generations, joined
from lightning_modules.styleshot.content_maps import MapCache, drawn_size, map_pixels, resized
from lightning_modules.styleshot.detectors import DETECTORS, Detector

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion

_PLAIN = (bool, int, float, str, list, dict, type(None))


class StyleTransfer(LightningModule):
    """Generates pictures in the style of a reference, whose image feature a condition has edited.

    The frozen networks are loaded by `configure_model`; they are in no checkpoint and never change.

    Args:
        condition: the method that edits the image feature.
        backbone: names of the frozen weights.
        sampling: how pictures are sampled.
        mix: how several references of one picture come together.
        runtime: how the networks run, which decides no picture.
        detector: draws the lines of content images that their pictures follow; None: that of the backbone's
            `content_lines`.
        map_folder: keeps these lines from run to run; None: each run draws them once.
    """

    def __init__(
        self,
        condition: Condition,
        backbone: Backbone = Backbone(),
        sampling: SamplingSettings = SamplingSettings(),
        mix: ReferenceMix = ReferenceMix(),
        runtime: Runtime = Runtime(),
        detector: Detector | None = None,
        map_folder: str | None = None,
    ) -> None:
        super().__init__()
        self._save_plain_hyperparameters()
        self.condition = condition
        self.backbone = backbone
        self.sampling = sampling
        self.mix = mix
        self.runtime = runtime
        self.content_maps = MapCache(detector or self._own_detector(), map_folder)
        self.diffusion: StableDiffusion | None = None
        self._loaded: dict[str, JSON] = {}
        self._memory, self._texts = EncodedOnce(), EncodedOnce(apart=True)
        self._memory_of: tuple[torch.device, object] | None = None
        self._most_rows: int | None = None
        self.register_state_dict_post_hook(drop_frozen)
        self.register_load_state_dict_post_hook(forgive_frozen)

    @property
    def name(self) -> str:
        """Short name of the method, used in the names of files and runs: "masking", image-driven "masking_contour"."""
        detector = f"_{self.content_maps.detector.name}" if self.reads_content_images else ""
        return f"{self.condition.name}{detector}"

    @property
    def settings(self) -> dict[str, JSON]:
        """All that decides a picture besides its job: method, frozen weights, precision and sampling."""
        return {
            "method": self.name,
            "condition": {**self.condition.settings, **fingerprint(self.condition)},
            "backbone": {**asdict(self.backbone), **self._loaded},
            "sampling": asdict(self.sampling),
            "mix": asdict(self.mix),
            **self._detector_settings,
            "precision": str(self._trainer.precision) if self._trainer else "32-true",
        }

    @property
    def reads_content_images(self) -> bool:
        """Whether pictures can follow the lines of a content image."""
        return self.backbone.content_fusion

    def _own_detector(self) -> Detector:
        """The detector that draws what the backbone's ControlNet was trained on."""
        lines = self.backbone.content_lines
        if self.backbone.content_fusion and lines is None:
            rank_zero_warn(
                "`content_lines` of the backbone is not said, so that content images become edges of Canny's method. A "
                "ControlNet follows the lines that it was trained on: contour for Gaojunyao/StyleShot, lineart for "
                "Gaojunyao/StyleShot_lineart. Name them, or give a `detector`."
            )
        return DETECTORS[lines or "edges"]()

    @property
    def _detector_settings(self) -> dict[str, JSON]:
        """The detector, where it decides; only then are its weights, which they may name, looked for."""
        detector = self.content_maps.detector
        return {"detector": {"name": detector.name, **detector.settings}} if self.reads_content_images else {}

    def configure_model(self) -> None:
        """Loads the frozen networks, once.

        Raises:
            ValueError: the scheduler cannot draw with them.
        """
        if self.diffusion is None:
            from lightning_modules.diffusion.stable_diffusion import StableDiffusion

            self.diffusion = StableDiffusion.load(self.backbone, self.runtime)
            self._loaded = {"weights": loaded_fingerprint(self.diffusion)}
        from lightning_modules.diffusion.schedulers import ready_scheduler

        ready_scheduler(self.sampling, self.diffusion.scheduler_config)  # one that cannot draw is refused here

    def is_frozen(self, key: str) -> bool:
        """Whether a tensor of this name comes from the backbone and belongs into no checkpoint."""
        return key.startswith(FROZEN)

    def setup(self, stage: str) -> None:
        """Forgets what was encoded of other data, or on another device."""
        source = None
        if self._trainer is not None:
            device = self._trainer.strategy.root_device
            check_precision(device, self.backbone)
            source = device, self._trainer.datamodule  # type: ignore[attr-defined]
        if source is None or source != self._memory_of:
            self._memory, self._texts, self._memory_of = EncodedOnce(), EncodedOnce(apart=True), source

    @property
    def model(self) -> "StableDiffusion":
        """The frozen networks.

        Raises:
            RuntimeError: they are not loaded yet.
        """
        if self.diffusion is None:
            raise RuntimeError(
                "`diffusion` is not loaded yet. Run the module by a Trainer, or call `configure_model()` first."
            )
        return self.diffusion

    def generate(self, batch: JobBatch) -> Generations:
        """Generates the picture of each job, at least 0: `(batch, 3, height, width)`, float32 in 0 .. 1.

        Where the accelerator's memory does not hold the batch, its halves are drawn one after the other, now and from
        then on: the pictures are the same.
        """
        jobs, images = batch["jobs"], batch["images"]
        parts: list[Generations] = []
        done = 0
        while done < len(jobs):
            rows = min(self._most_rows or len(jobs), len(jobs) - done)
            try:
                parts.append(self._generate({"jobs": jobs[done : done + rows], "images": images}))
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
                self._most_rows = rows // 2
                torch.cuda.empty_cache()
                rank_zero_warn(
                    f"{rows} pictures at a time do not fit into the accelerator's memory: going on with {rows // 2}. "
                    f"`--data.generation_batch_size {rows // 2}` starts so at once."
                )
            else:
                done += rows
        drawn = joined(parts).without_spoilt() if parts else Generations.nothing()
        drawn.failures.update(batch.get("failures", {}))
        return drawn

    def _generate(self, batch: JobBatch) -> Generations:
        from lightning_modules.diffusion.sampling import sample

        jobs = batch["jobs"]
        content_images = [batch["images"][job.content_image.key] for job in jobs if job.content_image is not None]
        conditioned = self._conditioned(batch)
        sets, shares = self._mixed(conditioned.feature)
        images = sample(
            self.model,
            self.sampling,
            text=self._prompts([f"{job.prompt}{self.sampling.prompt_suffix}" for job in jobs]),
            features=sets,
            seeds=[job.seed for job in jobs],
            negative_text=self._unconditional_text(),
            negative_features=self._negative_features(batch),
            shares=shares,
            content_maps=self._maps(content_images) if content_images else None,
        )
        if content_images and not (self.sampling.width or self.sampling.height):
            images = resized(images, content_images[0].size)
        return Generations(
            images=images,
            jobs=jobs,
            references=[batch["images"][job.reference.key] for job in jobs],
            share_masked=None if (share := conditioned.share_masked) is None else share.reshape(len(jobs), -1).mean(1),
            keep_mask=None if (mask := conditioned.keep_mask) is None else mask[:, 0],
        )

    def _maps(self, content_images: list[Image.Image]) -> Tensor:
        """The lines `(batch, 3, height, width)`, 0 .. 1, in the size in which the pictures are drawn."""
        if len(sizes := {image.size for image in content_images}) > 1:
            raise ValueError(
                f"`content_image` must have one size within a batch; got {sorted(sizes)}. Generate each size by itself."
            )
        width, height = drawn_size(content_images[0].size, self.model.latent_step)
        size = self.sampling.width or width, self.sampling.height or height
        return torch.stack([map_pixels(self.content_maps(image), size) for image in content_images])

    def validation_step(self, batch: JobBatch, batch_idx: int) -> Generations:  # type: ignore[override]
        """Generates a batch of the evaluation set."""
        return self.generate(batch)

    def test_step(self, batch: JobBatch, batch_idx: int) -> Generations:  # type: ignore[override]
        """Generates a batch of the evaluation set."""
        return self.generate(batch)

    def predict_step(self, batch: JobBatch, batch_idx: int) -> Generations:
        """Generates a batch of the whole test set."""
        return self.generate(batch)

    @torch.no_grad()
    def _conditioned(self, batch: JobBatch) -> Conditioned:
        """The edited features of each job's references `(batch, references, ...)`; each reference is edited once."""
        groups = [(job.reference, *job.others) for job in batch["jobs"]]
        references = {reference.key: reference for group in groups for reference in group}
        contents = [reference.content for reference in references.values()]
        image_feature = self._image_features(references.values(), batch)
        told = [self.sampling.content_text(content) for content in contents]
        [text_feature] = self._memory("content", told, told, lambda new: (self.model.encode_contents(new),))
        text_states = self._prompts(contents).states
        # Mixed precision is for the large networks: a mask or an adapter costs nothing and shall not be rounded.
        with torch.autocast(image_feature.device.type, enabled=False):
            edited: Conditioned = self.condition(image_feature, text_feature, text_states)
        place = {key: row for row, key in enumerate(references)}
        rows = [[place[reference.key] for reference in group] for group in groups]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("`others` must be as many for each job of a batch; got different numbers.")
        chosen = torch.tensor(rows, device=edited.feature.device)
        keep_mask, share_masked = (None if part is None else part[chosen] for part in edited[1:])
        return Conditioned(edited.feature[chosen], keep_mask, share_masked)

    def _mixed(self, features: Tensor) -> tuple[list[Tensor], list[float]]:
        """One set of features `(batch, ...)` or one a reference, of `(batch, references, ...)`; and their shares."""
        shares = self.mix.shares(features.shape[1])
        if len(shares) == 1 or self.mix.combine == "tokens":
            return list(features.unbind(1)), shares
        return [torch.tensordot(features, features.new_tensor(shares), dims=([1], [0]))], [1.0]

    def _negative_features(self, batch: JobBatch) -> Tensor | None:
        """The mean feature of each job's negative references `(batch, ...)`, unedited; None where there are none."""
        groups = [job.negatives for job in batch["jobs"]]
        if not any(groups):
            return None
        references = {reference.key: reference for group in groups for reference in group}
        features = dict(zip(references, self._image_features(references.values(), batch), strict=True))
        nothing = torch.zeros_like(next(iter(features.values())))
        means = [torch.stack([features[r.key] for r in group]).mean(0) if group else nothing for group in groups]
        return torch.stack(means)

    def _image_features(self, references: Collection[Reference], batch: JobBatch) -> Tensor:
        digests = [reference.digest for reference in references]
        images = [batch["images"][reference.key] for reference in references]
        self._say_what_is_lost(references, images)
        [features] = self._memory("image", digests, images, lambda new: (self.model.encode_images(new),))
        return features

    def _say_what_is_lost(self, references: Iterable[Reference], images: Iterable[Image.Image]) -> None:
        from lightning_modules.diffusion.encoders import say_what_is_lost

        if self.backbone.reference_fit == "crop":
            say_what_is_lost((reference.key for reference in references), images)

    def _prompts(self, prompts: list[str]) -> Text:
        return Text(*self._texts("prompt", prompts, prompts, self.model.encode_prompts))

    def _unconditional_text(self) -> Text:
        negative = self.sampling.negative_prompt
        encode = self.model.unconditional_text
        return Text(*self._memory("unconditional", [repr(negative)], [negative], lambda new: encode(new[0])))

    def _save_plain_hyperparameters(self) -> None:
        """Saves what the CLI was given, or, without it, the plain arguments: checkpoints must load `weights_only`.

        How the networks run belongs to a machine, not to a checkpoint.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attribute .* is an instance of `nn.Module`")
            self.save_hyperparameters()
        loadable = torch.serialization.get_safe_globals()
        plain = {k for k, value in self.hparams.items() if isinstance(value, _PLAIN) or type(value) in loadable}
        self.remove_ignored_hparams([key for key in self.hparams if key not in plain - {"runtime"}])
