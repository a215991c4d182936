"""References and prompts to pictures: the frozen networks, the condition between them, and what they encoded once."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch import Tensor

from datamodules.batches import Job, JobBatch, Reference
from lightning_modules.conditions import Condition, Conditioned
from lightning_modules.content_words import ContentWords
from lightning_modules.diffusion.config import Backbone, ReferenceMix, Runtime, SamplingSettings
from lightning_modules.diffusion.encoders import EncodedOnce, Text, say_what_is_lost
from lightning_modules.outputs import Found, Generations, joined
from lightning_modules.styleshot.detectors import DETECTORS, Detector, MapCache, drawn_size, map_pixels, resized

if TYPE_CHECKING:
    from lightning_modules.diffusion.stable_diffusion import StableDiffusion


class PictureGenerator:
    """Generates pictures in the style of a reference, whose image feature a condition has edited.

    A plain object: the module that has one registers the networks and the condition. What was encoded is remembered
    by its content, image digests and texts, as long as the networks stay on one device and in one precision.
    """

    progress: Callable[[float], None] | None = None
    """Called after each denoising step with the pictures that it is worth; an error that it raises ends the drawing."""

    def __init__(
        self,
        condition: Condition,
        backbone: Backbone,
        sampling: SamplingSettings,
        mix: ReferenceMix = ReferenceMix(),
        runtime: Runtime = Runtime(),
        detector: Detector | None = None,
        map_folder: str | None = None,
    ) -> None:
        self.condition, self.backbone, self.sampling = condition, backbone, sampling
        self.mix, self.runtime = mix, runtime
        self.content_maps = MapCache(detector or _detector_of(backbone), map_folder)
        self.diffusion: StableDiffusion | None = None
        self._most_rows: int | None = None
        self._words = ContentWords()
        self.forget()

    def forget(self) -> None:
        """Forgets what was encoded, and the words that were found by it."""
        self._words.forget()
        self._memory, self._texts = EncodedOnce(), EncodedOnce(apart=True)
        self._encoded_at: tuple[torch.device, torch.dtype] | None = None

    def load(self) -> "StableDiffusion":
        """The frozen networks, loaded once; ValueError where the scheduler cannot draw with them."""
        if self.diffusion is None:
            from lightning_modules.diffusion.stable_diffusion import StableDiffusion

            self.diffusion = StableDiffusion.load(self.backbone, self.runtime)
        from lightning_modules.diffusion.schedulers import ready_scheduler

        ready_scheduler(self.sampling, self.diffusion.scheduler_config)  # one that cannot draw is refused here
        return self.diffusion

    @property
    def model(self) -> "StableDiffusion":
        """The frozen networks; RuntimeError where they are not loaded yet."""
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
        found = self._found(batch)
        jobs = [job.named({key: each.word for key, each in found.items()}) for job in batch["jobs"]]
        parts: list[Generations] = []
        done = 0
        while done < len(jobs):
            rows = min(self._most_rows or len(jobs), len(jobs) - done)
            try:
                parts.append(self._drawn(jobs[done : done + rows], batch["images"]))
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
        drawn.contents, drawn.finished, drawn.found = batch["contents"], batch["finished"], found
        return drawn

    def _drawn(self, jobs: list[Job], images: Mapping[str, Image.Image]) -> Generations:
        from lightning_modules.diffusion.sampling import sample

        content_images = [images[job.content_image.key] for job in jobs if job.content_image is not None]
        conditioned = self._conditioned(jobs, images)
        share_masked, keep_mask = conditioned.share_masked, conditioned.keep_mask
        sets, shares = self.mix.mixed(conditioned.feature)
        pictures = sample(
            self.model,
            self.sampling,
            text=self.prompts([f"{job.prompt}{self.sampling.prompt_suffix}" for job in jobs]),
            features=sets,
            seeds=[job.seed for job in jobs],
            negative_text=self._unconditional_text(),
            negative_features=self._negative_features(jobs, images),
            shares=shares,
            content_maps=self._maps(content_images) if content_images else None,
            progress=self.progress,
        )
        if content_images and not (self.sampling.width or self.sampling.height):
            pictures = resized(pictures, content_images[0].size)
        return Generations(
            images=pictures,
            jobs=jobs,
            references=[images[job.reference.key] for job in jobs],
            share_masked=None if share_masked is None else share_masked.reshape(len(jobs), -1).mean(1),
            keep_mask=None if keep_mask is None else keep_mask[:, 0],
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

    @torch.no_grad()
    def _conditioned(self, jobs: Sequence[Job], images: Mapping[str, Image.Image]) -> Conditioned:
        """The edited features of each job's references `(batch, references, ...)`; each reference is edited once."""
        groups = [(job.reference, *job.others) for job in jobs]
        references = {reference.key: reference for group in groups for reference in group}
        words = [reference.word for reference in references.values()]
        image_feature = self._image_features(references.values(), images)
        text_feature, text_states = self._text_features(words), self.prompts(words).states
        # Mixed precision is for the large networks: a mask or an adapter costs nothing and shall not be rounded.
        with torch.autocast(image_feature.device.type, enabled=False):
            edited: Conditioned = self.condition(image_feature, text_feature, text_states)
        if edited.share_masked is not None:
            self._words.warn_of_masks([*references.values()], edited.share_masked)
        place = {key: row for row, key in enumerate(references)}
        rows = [[place[reference.key] for reference in group] for group in groups]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("`others` must be as many for each job of a batch; got different numbers.")
        chosen = torch.tensor(rows, device=edited.feature.device)
        keep_mask, share_masked = (None if part is None else part[chosen] for part in edited[1:])
        return Conditioned(edited.feature[chosen], keep_mask, share_masked)

    def _negative_features(self, jobs: Sequence[Job], images: Mapping[str, Image.Image]) -> Tensor | None:
        """The mean feature of each job's negative references `(batch, ...)`, unedited; None where there are none."""
        references = {reference.key: reference for job in jobs for reference in job.negatives}
        if not references:
            return None
        features = dict(zip(references, self._image_features(references.values(), images), strict=True))
        nothing = torch.zeros_like(next(iter(features.values())))
        groups = [[features[reference.key] for reference in job.negatives] for job in jobs]
        return torch.stack([torch.stack(group).mean(0) if group else nothing for group in groups])

    def _image_features(self, references: Collection[Reference], images: Mapping[str, Image.Image]) -> Tensor:
        self._forget_elsewhere()
        digests = [reference.digest for reference in references]
        opened = [images[reference.key] for reference in references]
        say_what_is_cropped(self.model, references, opened)
        [features] = self._memory("image", digests, opened, lambda new: (self.model.encode_images(new),))
        return features

    def _text_features(self, contents: Sequence[str]) -> Tensor:
        self._forget_elsewhere()
        told = [self.sampling.content_text(content) for content in contents]
        [features] = self._memory("content", told, told, lambda new: (self.model.encode_contents(new),))
        return features

    def find_words(
        self, references: Collection[Reference], vocabulary: Sequence[str], feature: Callable[[Reference], Tensor]
    ) -> dict[str, Found]:
        """By key, the words that are found for references, whose image features `(1, dim)` are given.

        Raises:
            ValueError: one is to be found, and the image encoder is StyleShot's or there is no vocabulary.
        """
        if self.backbone.style_encoder is not None and any(reference.is_to_find for reference in references):
            raise ValueError(
                "`content_words` cannot be found on a StyleShot backbone: no text tower belongs to its style encoder. "
                "Say what the images show, or take a backbone with an IP-Adapter."
            )
        return self._words.find(references, vocabulary, self.sampling.content_template, feature, self._text_features)

    def _found(self, batch: JobBatch) -> dict[str, Found]:
        """The words of a batch; each image is encoded by itself, for words must not depend on batches."""
        references = dict.fromkeys(each for job in batch["jobs"] for each in job.all_references)
        images, vocabulary = batch["images"], batch.get("vocabulary", ())
        return self.find_words(references, vocabulary, lambda each: self._image_features([each], images))

    def prompts(self, prompts: list[str]) -> Text:
        """Encoded prompts, `len(prompts)` rows."""
        self._forget_elsewhere()
        return Text(*self._texts("prompt", prompts, prompts, self.model.encode_prompts))

    def _unconditional_text(self) -> Text:
        negative = self.sampling.negative_prompt
        encode = self.model.unconditional_text
        return Text(*self._memory("unconditional", [repr(negative)], [negative], lambda new: encode(new[0])))

    def _forget_elsewhere(self) -> None:
        """Forgets what was encoded on another device, or in another precision."""
        here = self.model.device, self.model.unet.conv_in.weight.dtype
        if here != self._encoded_at:
            self.forget()
            self._encoded_at = here


def _detector_of(backbone: Backbone) -> Detector:
    """The detector that draws what the backbone's ControlNet was trained on."""
    lines = backbone.content_lines
    if backbone.content_fusion and lines is None:
        rank_zero_warn(
            "`content_lines` of the backbone is not said, so that content images become edges of Canny's method. A "
            "ControlNet follows the lines that it was trained on: contour for Gaojunyao/StyleShot, lineart for "
            "Gaojunyao/StyleShot_lineart. Name them, or give a `detector`."
        )
    return DETECTORS[lines or "edges"]()


def say_what_is_cropped(
    model: "StableDiffusion", references: Iterable[Reference], images: Iterable[Image.Image]
) -> None:
    """Warn of each reference of whose image the encoders see little."""
    if model.reference_fit == "crop":
        say_what_is_lost((reference.key for reference in references), images)
