"""The datamodule of style references: a train set to learn from and a test set to transfer styles from."""

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from lightning import LightningDataModule

from datamodules.batches import Job, JobBatch, Reference, check_at_least, check_seed
from datamodules.images import ImageFile
from datamodules.jobs import JobBatches, list_jobs, negative_references, read_content_images, same_style, spread
from datamodules.loaders import (
    BatchLoader,
    EpochBatchSampler,
    ReferenceBatches,
    ResumableLoader,
    batches_of,
    share_of_rank,
)
from datamodules.prediction_folders import finished_pictures
from datamodules.references import ReferenceSet
from datamodules.shards import open_references
from datamodules.vocabulary import PROMPT_CONTENTS, check_content_words, content_prompt, read_vocabulary

PROMPTS = tuple(content_prompt(content) for content in PROMPT_CONTENTS)


class StyleReferences(LightningDataModule):
    """Style-reference images in folders or shards, and the prompts that are drawn in their styles.

    Args:
        train: Folder (or shards) of the references that adapters are trained on.
        test: Folder (or shards) of the references whose styles are transferred, in all stages but training.
        batch_size: References a training step and process.
        shuffle: Trains in an order of its own each epoch; false: in the order of the keys, as published.
        generation_batch_size: Pictures generated at a time by each process.
        prompts: What is drawn in the style of each reference.
        samples_per_prompt: Pictures for each reference and prompt; they differ in their initial noise.
        evaluation_references: Number of test references in validation and test: a fixed choice that covers
            all contents and styles about evenly.
        predict_references: Number of test references in prediction, chosen in the same way; null takes all.
        references_per_picture: References of one style that condition each picture: its own and further ones of
            the test set, if possible with other contents. The choice is fixed and depends on the test set alone.
        negative_references: Image files, with path, that all pictures are steered away from: their feature takes
            the place of the zero feature in the unconditional half of guidance, without which it has no effect.
        content_images: Folder of images `<prompt>.<suffix>` ("A rocket.png", "A_rocket.jpg"). With it, each
            reference is transferred onto each of them, with the name of the content image as the prompt, and
            `prompts` is not looked at. null: pictures are drawn from `prompts` alone.
        content_words: What the references show. null: the class in the file name. A word or phrase: that, for
            all references, for StyleBench "person, animal, plant, or object in the foreground". Words by file
            name, or by a glob pattern over the path below the root: the first that matches. With words given,
            images may have any names and lie at any depth; their style is the name of the folder that holds
            them, unless the file name says it. The word "auto" is found by the paired CLIP in each image.
        vocabulary: Among which words that is: "nouns", some thousand that are shipped, "miniature", its 15 contents,
            or a text file with a word or phrase a line.
        seed: Seed of the training order and of the initial noises, 0 .. 2**32 - 1.
        noise: Where pictures start from. own: each reference (by its content), prompt and sample from a noise of its
            own, the same for every method. shared: sample i of all of them from the noise of `seed` + i, as published,
            so that what is measured rests on as many noises as there are samples.
        num_workers: Processes that open images; 0 opens them in the main process. In training they open all images of
            a step ahead, asked for or not; with 0 those alone are opened that are asked for.

    Attributes:
        finished_in: Folder of a prediction writer, set before a prediction: pictures that are finished there are not
            drawn again. None: all are drawn.

    Raises:
        ValueError: If a number is too small, `prompts` is empty or has a blank or repeated prompt,
            `negative_references` names a file twice, or `content_words` has no or a blank word.
    """

    def __init__(
        self,
        train: str = "data/object",
        test: str = "data/object_test",
        *,
        batch_size: int = 8,
        shuffle: bool = True,
        generation_batch_size: int = 30,
        prompts: Sequence[str] = PROMPTS,
        samples_per_prompt: int = 1,
        evaluation_references: int = 24,
        predict_references: int | None = None,
        references_per_picture: int = 1,
        negative_references: Sequence[str] = (),
        content_images: str | None = None,
        content_words: str | dict[str, str] | None = None,
        vocabulary: str = "nouns",
        seed: int = 42,
        noise: Literal["own", "shared"] = "own",
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        _check_prompts(prompts)
        check_at_least(1, batch_size=batch_size, generation_batch_size=generation_batch_size)
        check_at_least(1, samples_per_prompt=samples_per_prompt, evaluation_references=evaluation_references)
        check_at_least(1, references_per_picture=references_per_picture, predict_references=predict_references)
        _check_negative_references(negative_references)
        check_content_words(content_words)
        check_at_least(0, num_workers=num_workers)
        check_seed(seed, samples_per_prompt - 1 if noise == "shared" else 0)
        self.train, self.test, self.shuffle = train, test, shuffle
        self.batch_size, self.generation_batch_size = batch_size, generation_batch_size
        self.prompts, self.samples_per_prompt = list(prompts), samples_per_prompt
        self.evaluation_references, self.predict_references = evaluation_references, predict_references
        self.references_per_picture = references_per_picture
        self.negative_references, self.content_words = list(negative_references), content_words
        self.vocabulary = vocabulary
        self.content_images = content_images
        self.seed, self.noise, self.num_workers = seed, noise, num_workers
        self.finished_in: str | None = None
        self._finished: set[tuple[Any, ...]] = set()

    @cached_property
    def train_set(self) -> ReferenceSet:
        """The references of `train`, read and checked once."""
        return open_references(self.train, self.content_words, self.vocabulary)

    @cached_property
    def test_set(self) -> ReferenceSet:
        """The references of `test`, read and checked once."""
        return open_references(self.test, self.content_words, self.vocabulary)

    @cached_property
    def negative_set(self) -> dict[Reference, ImageFile]:
        """The references of `negative_references`, read and checked once."""
        return negative_references(self.negative_references)

    @cached_property
    def content_set(self) -> ReferenceSet | None:
        """The images of `content_images`, read and checked once; None without that folder."""
        return None if self.content_images is None else read_content_images(self.content_images)

    @cached_property
    def other_references(self) -> dict[str, tuple[Reference, ...]]:
        """For the key of each test reference, the further ones of its pictures; empty where they have none."""
        if self.references_per_picture == 1:
            return {}
        return same_style(self._transferred(), self.references_per_picture - 1)

    @property
    def content_prompts(self) -> list[str]:
        """The prompts of all contents that the test references show; none where some of these are to be found."""
        known = not self.words_for(self.test_set)
        return sorted({reference.content_prompt for reference in self.test_set.references}) if known else []

    @property
    def reference_roots(self) -> list[str]:
        """Where the references and content images of the pictures lie, for `Predictions.references`."""
        return [self.test, *([] if self.content_images is None else [self.content_images])]

    def setup(self, stage: str) -> None:
        """Reads what the stage needs, so that a fault in it is named before a model is loaded."""
        if stage == "fit":
            _ = self.train_set
        else:
            _ = self.negative_set, self.content_set, self.test_set, self.other_references
        if stage == "predict":  # now, before any process writes
            self._finished = set() if self.finished_in is None else {*finished_pictures(self.finished_in)}

    def train_dataloader(self) -> ResumableLoader:
        """Train references, each once an epoch, in order under `overfit_batches`."""
        shuffle = self.shuffle and not (self.trainer and self.trainer.overfit_batches)  # type: ignore[attr-defined]
        sampler = EpochBatchSampler(len(self.train_set), self.batch_size, *self._rank, seed=self.seed, shuffle=shuffle)
        words = self.words_for(self.train_set)
        return ResumableLoader(ReferenceBatches(self.train_set, self.batch_size, words), sampler, self.num_workers)

    def val_dataloader(self) -> BatchLoader[JobBatch]:
        """The evaluation references x prompts x samples."""
        return self._job_loader(self._list_jobs(self.evaluation_references))

    def test_dataloader(self) -> BatchLoader[JobBatch]:
        """The same pictures as in validation."""
        return self.val_dataloader()

    def predict_dataloader(self) -> BatchLoader[JobBatch]:
        """The test references x prompts x samples, but for the pictures that are finished."""
        jobs = self.predict_jobs
        missing = [job for job in jobs if job.identity not in self._finished]
        return self._job_loader(missing, len(jobs) - len(missing))

    @property
    def predict_jobs(self) -> list[Job]:
        """All pictures of prediction: the test references x prompts x samples."""
        return self._list_jobs(self.predict_references)

    def _list_jobs(self, n_references: int | None) -> list[Job]:
        jobs = list_jobs(
            spread(self._transferred(), n_references),
            self.prompts,
            self.samples_per_prompt,
            self.seed,
            self.other_references,
            tuple(self.negative_set),
            self.content_set.references if self.content_set else (),
            self.noise == "shared",
        )
        return sorted(jobs, key=self._size)

    def _transferred(self) -> list[Reference]:
        """The test references that may be the main one of a picture."""
        return self.test_set.references

    def _size(self, job: Job) -> tuple[int, int]:
        """Width and height of the picture's content image; the pictures of a batch have one size."""
        if job.content_image is None or self.content_set is None:
            return 0, 0
        return self.content_set.sizes[job.content_image.index]

    def _job_loader(self, jobs: list[Job], finished: int = 0) -> BatchLoader[JobBatch]:
        of_one_size = groupby(share_of_rank(len(jobs), *self._rank), lambda index: self._size(jobs[index]))
        batches = [batch for _, share in of_one_size for batch in batches_of(list(share), self.generation_batch_size)]
        batches = batches or [[]]  # without a batch this process would leave the others waiting for it
        files = self.test_set.files | self.negative_set | (self.content_set.files if self.content_set else {})
        first = None if self._rank[0] else batches[0]
        told = self.content_prompts, self.words_for(self.test_set), finished, first
        return BatchLoader(JobBatches(files, jobs, *told), batches, self.num_workers)

    def words_for(self, images: ReferenceSet) -> list[str]:
        """Among which those of some of the references are found; none where all contents are known."""
        return read_vocabulary(self.vocabulary) if any(each.is_to_find for each in images.references) else []

    @property
    def _rank(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def _check_prompts(prompts: Sequence[str]) -> None:
    example = f"Give one or more, for example {list(PROMPTS[:2])}."
    if isinstance(prompts, str) or not prompts:
        raise ValueError(f"`prompts` is a list of at least one prompt and was {prompts!r}. {example}")
    if blank := [position for position, prompt in enumerate(prompts) if not prompt.strip()]:
        raise ValueError(f"Prompt {blank[0]} of `prompts` is blank: {list(prompts)}. {example}")
    if len(set(prompts)) < len(prompts):
        way_out = "Name it once; `samples_per_prompt` gives more pictures of it."
        raise ValueError(f"`prompts` has a prompt twice: {list(prompts)}. {way_out}")


def _check_negative_references(files: Sequence[str]) -> None:
    if isinstance(files, str):
        raise ValueError(f"`negative_references` is a list of image files and was {files!r}. Give {[files]}.")
    if len({Path(file) for file in files}) < len(files):
        raise ValueError(f"`negative_references` has a file twice: {list(files)}. Name it once.")
