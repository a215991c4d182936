"""The datamodule of style references: a train set to learn from and a test set to transfer styles from."""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Literal

from lightning import LightningDataModule

from datamodules.batch_sampler import EpochBatchSampler, batches_of, share_of_rank
from datamodules.batches import Job, JobBatch, Reference, ReferenceBatch, check_seed
from datamodules.content_images import ContentImages
from datamodules.jobs import list_jobs, same_style, spread
from datamodules.loaders import BatchLoader, JobBatches, NegativeReferences, ReferenceBatches, ResumableLoader
from datamodules.references import ReferenceSet, open_references
from datamodules.vocabulary import PROMPT_CONTENTS, content_prompt

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
            them, unless the file name says it.
        seed: Seed of the training order and of the initial noises, 0 .. 2**32 - 1.
        noise: Where pictures start from. own: each reference (by its content), prompt and sample from a noise of its
            own, the same for every method. shared: sample i of all of them from the noise of `seed` + i, as published,
            so that what is measured rests on as many noises as there are samples.
        num_workers: Processes that open images; 0 opens them in the main process.

    Raises:
        ValueError: If a number is too small, `prompts` is empty or has a blank or repeated prompt,
            `negative_references` names a file twice, or `content_words` has no or a blank word.
    """

    keys_only: bool = False
    """Set by a module that has cached what it needs of the images: train batches then come without them."""
    left_out: Collection[int] = frozenset()
    """Set by the same module: indices of train references that it found unreadable then."""

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
        seed: int = 42,
        noise: Literal["own", "shared"] = "own",
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        _check_prompts(prompts)
        _check_at_least(1, batch_size=batch_size, generation_batch_size=generation_batch_size)
        _check_at_least(1, samples_per_prompt=samples_per_prompt, evaluation_references=evaluation_references)
        _check_at_least(1, predict_references=1 if predict_references is None else predict_references)
        _check_at_least(1, references_per_picture=references_per_picture)
        _check_negative_references(negative_references)
        check_content_words(content_words)
        _check_at_least(0, num_workers=num_workers)
        check_seed(seed, samples_per_prompt - 1 if noise == "shared" else 0)
        self.train, self.test, self.shuffle = train, test, shuffle
        self.batch_size, self.generation_batch_size = batch_size, generation_batch_size
        self.prompts, self.samples_per_prompt = list(prompts), samples_per_prompt
        self.evaluation_references, self.predict_references = evaluation_references, predict_references
        self.references_per_picture = references_per_picture
        self.negative_references, self.content_words = list(negative_references), content_words
        self.content_images = content_images
        self.seed, self.noise, self.num_workers = seed, noise, num_workers
        self._keep_job: Callable[[Job], bool] | None = None

    @cached_property
    def train_set(self) -> ReferenceSet:
        """The references of `train`, read and checked once."""
        return open_references(self.train, self.content_words)

    @cached_property
    def test_set(self) -> ReferenceSet:
        """The references of `test`, read and checked once."""
        return open_references(self.test, self.content_words)

    @cached_property
    def negative_set(self) -> NegativeReferences:
        """The references of `negative_references`, read and checked once."""
        return NegativeReferences(self.negative_references)

    @cached_property
    def content_set(self) -> ContentImages | None:
        """The images of `content_images`, read and checked once; None without that folder."""
        return None if self.content_images is None else ContentImages(self.content_images)

    @cached_property
    def other_references(self) -> dict[str, tuple[Reference, ...]]:
        """For the key of each test reference, the further ones of its pictures; empty where they have none."""
        if self.references_per_picture == 1:
            return {}
        return same_style(self._transferred(), self.references_per_picture - 1)

    @property
    def content_prompts(self) -> list[str]:
        """The prompts of all contents that the test references show, which may leak into a picture."""
        return sorted({reference.content_prompt for reference in self.test_set.references})

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

    def keep_jobs(self, predicate: Callable[[Job], bool]) -> None:
        """Lets prediction generate only the jobs for which the predicate is true, the same on all ranks."""
        self._keep_job = predicate

    def train_dataloader(self) -> ResumableLoader[ReferenceBatch]:
        """Train references, each once an epoch, in order under `overfit_batches`; without images if `keys_only`."""
        shuffle = self.shuffle and not (self.trainer and self.trainer.overfit_batches)  # type: ignore[attr-defined]
        sampler = EpochBatchSampler(len(self.train_set), self.batch_size, *self._rank, seed=self.seed, shuffle=shuffle)
        num_workers = 0 if self.keys_only else self.num_workers
        return ResumableLoader(ReferenceBatches(self.train_set, self.keys_only, self.left_out), sampler, num_workers)

    def encoding_dataloader(self) -> BatchLoader[ReferenceBatch]:
        """Each train reference once with its image, in order, the same on all ranks."""
        batches = batches_of(range(len(self.train_set)), self.batch_size)
        return BatchLoader(ReferenceBatches(self.train_set), batches, self.num_workers)

    def val_dataloader(self) -> BatchLoader[JobBatch]:
        """The evaluation references x prompts x samples."""
        return self._job_loader(self._list_jobs(self.evaluation_references))

    def test_dataloader(self) -> BatchLoader[JobBatch]:
        """The same pictures as in validation."""
        return self.val_dataloader()

    def predict_dataloader(self) -> BatchLoader[JobBatch]:
        """The test references x prompts x samples, without the jobs that `keep_jobs` drops."""
        return self._job_loader([job for job in self.predict_jobs if self._keep_job is None or self._keep_job(job)])

    @property
    def predict_jobs(self) -> list[Job]:
        """All pictures of prediction: the test references x prompts x samples."""
        return self._list_jobs(self.predict_references)

    def _list_jobs(self, n_references: int | None) -> list[Job]:
        references = spread(self._transferred(), n_references)
        others, negatives = self.other_references, self.negative_set.references
        contents = [] if self.content_set is None else self.content_set.references
        shared, samples = self.noise == "shared", self.samples_per_prompt
        jobs = list_jobs(references, self.prompts, samples, self.seed, others, negatives, contents, shared)
        return sorted(jobs, key=self._size)

    def _transferred(self) -> list[Reference]:
        """The test references that may be the main one of a picture."""
        return self.test_set.references

    def _size(self, job: Job) -> tuple[int, int]:
        """Width and height of the picture's content image; the pictures of a batch have one size."""
        if job.content_image is None or self.content_set is None:
            return 0, 0
        return self.content_set.sizes[job.content_image.index]

    def _job_loader(self, jobs: list[Job]) -> BatchLoader[JobBatch]:
        share = share_of_rank(len(jobs), *self._rank)
        of_one_size = [list(indices) for _, indices in groupby(share, lambda index: self._size(jobs[index]))]
        batches = [batch for indices in of_one_size for batch in batches_of(indices, self.generation_batch_size)]
        if jobs and not batches:  # without a batch this process would leave the others waiting for it
            batches = [[]]
        source = JobBatches(self.test_set, jobs, self.negative_set, self.content_set)
        return BatchLoader(source, batches, self.num_workers)

    @property
    def _rank(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def _check_prompts(prompts: Sequence[str]) -> None:
    example = f"Give one or more, for example {list(PROMPTS[:2])}."
    if isinstance(prompts, str) or not prompts:
        raise ValueError(f"`prompts` is a list of at least one prompt and was {prompts!r}. {example}")
    for position, prompt in enumerate(prompts):
        if not prompt.strip():
            raise ValueError(f"Prompt {position} of `prompts` is blank: {list(prompts)}. {example}")
    if len(set(prompts)) < len(prompts):
        raise ValueError(
            f"`prompts` has a prompt twice: {list(prompts)}. "
            "Name it once; `samples_per_prompt` gives more pictures of it."
        )


def _check_negative_references(files: Sequence[str]) -> None:
    if isinstance(files, str):
        raise ValueError(f"`negative_references` is a list of image files and was {files!r}. Give {[files]}.")
    if len({Path(file) for file in files}) < len(files):
        raise ValueError(f"`negative_references` has a file twice: {list(files)}. Name it once.")


def check_content_words(content_words: str | dict[str, str] | None) -> None:
    """Raises ValueError unless they are words, or words by file name or pattern."""
    words = content_words.values() if isinstance(content_words, dict) else [content_words or ""]
    if content_words is not None and not (words and all(isinstance(word, str) and word.strip() for word in words)):
        raise ValueError(
            f"`content_words` was {content_words!r}. Expected a word or phrase, or one for each file name or pattern, "
            'such as {"*dog*": "dog", "*": "person"}; null takes the class in the file name.'
        )


def _check_at_least(least: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if value < least:
            raise ValueError(f"`{name}` is a number from {least} up and was {value}.")
