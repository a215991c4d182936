"""Loaders that Lightning can neither re-shard nor rebuild, and whose place in an epoch a checkpoint keeps."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from datamodules.batch_sampler import EpochBatchSampler
from datamodules.batches import Job, JobBatch, Reference, ReferenceBatch
from datamodules.captioned_set import CaptionedSet
from datamodules.references import ImageFile, ReferenceSet, open_image
from datamodules.vocabulary import shown

Batch = TypeVar("Batch")


class ReferenceBatches(Dataset[ReferenceBatch]):
    """Batches of references by their indices in the set, with their images and content maps unless `keys_only`.

    What can no longer be read is left out and named among the failures of the batch. In place of a batch that would
    be empty comes the next readable reference of the set, so that each process has as many batches as the others.

    Args:
        references: The set.
        keys_only: Whether no image is opened.
        left_out: Indices of references that were found unreadable before.
    """

    def __init__(
        self, references: ReferenceSet, keys_only: bool = False, left_out: Collection[int] = frozenset()
    ) -> None:
        self.references, self.keys_only, self.left_out = references, keys_only, left_out

    def __getitem__(self, indices: list[int]) -> ReferenceBatch:
        batch: ReferenceBatch = {"references": []}
        if not self.keys_only:
            batch["images"] = []
            if isinstance(self.references, CaptionedSet):
                batch["content_maps"] = []
        size = len(self.references)
        for index in indices:
            self._add(index, batch)
        for step in range(1, size):
            if not batch["references"]:
                self._add((indices[0] + step) % size, batch)
        if not batch["references"]:
            raise ValueError(f"None of the {size} images of the training can be read any more.")
        return batch

    def _add(self, index: int, batch: ReferenceBatch) -> None:
        """Adds a reference to a batch, to its failures where it cannot be read."""
        if index in self.left_out:
            return
        reference = self.references.references[index]
        try:
            if not self.keys_only:
                image = self.references.image(index)
                if isinstance(self.references, CaptionedSet):
                    batch["content_maps"].append(self.references.content_map(index))
                batch["images"].append(image)
            batch["references"].append(reference)
        except ValueError as error:
            batch.setdefault("failures", {})[self.references.source(index).name] = str(error)


class NegativeReferences:
    """Images that pictures are steered away from, each a file of its own.

    Attributes:
        references: Reference -1 - i for file i.

    Args:
        files: The image files.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it cannot be read.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._paths = [Path(file) for file in files]
        digests = [_negative_digest(path) for path in self._paths]
        keys = [f"negative:{path.as_posix()}" for path in self._paths]  # like no path below a root
        self.references = tuple(
            Reference(-1 - i, key, "", "negative", digest)
            for i, (key, digest) in enumerate(zip(keys, digests, strict=True))
        )

    def image(self, index: int) -> Image.Image:
        """The image of negative reference `index`, -1 or less, as `ReferenceSet.image`."""
        return open_image(ImageFile(self._paths[-1 - index]), self.references[-1 - index].digest)[0]


class JobBatches(Dataset[JobBatch]):
    """Batches of jobs by their positions in the list; each image is opened once a batch.

    Args:
        references: The set of the jobs' references and others.
        jobs: All jobs.
        negatives: The set of the jobs' negatives; None where they have none.
        content_images: The set of the jobs' content images; None where they have none.
    """

    def __init__(
        self,
        references: ReferenceSet,
        jobs: Sequence[Job],
        negatives: NegativeReferences | None = None,
        content_images: ReferenceSet | None = None,
    ) -> None:
        self.references, self.jobs, self.negatives = references, jobs, negatives
        self.content_images = content_images

    def __getitem__(self, indices: list[int]) -> JobBatch:
        jobs = [self.jobs[index] for index in indices]
        images: dict[str, Image.Image] = {}
        faults: dict[str, str] = {}
        contents = {job.content_image for job in jobs}
        for reference in dict.fromkeys(reference for job in jobs for reference in job.all_images):
            try:
                images[reference.key] = self._image(reference, reference in contents)
            except ValueError as error:
                faults[reference.key] = f"its image {reference.key!r} can no longer be read: {error}"
        failures = {job: faults[r.key] for job in jobs for r in job.all_images if r.key in faults}
        return {"jobs": [job for job in jobs if job not in failures], "images": images, "failures": failures}

    def _image(self, reference: Reference, is_content: bool) -> Image.Image:
        of_style = self.references if reference.index >= 0 else self.negatives
        found = self.content_images if is_content else of_style
        assert found is not None
        return found.image(reference.index)


class BatchLoader(Iterable[Batch]):
    """One batch for each list of indices, in order, whatever the number of workers.

    It is no `DataLoader` and has no `sampler`, because Lightning replaces the samplers of those with its own,
    which would repeat or drop samples.

    Args:
        source: Makes a batch out of indices.
        batches: The indices of each batch of this rank.
        num_workers: Processes that open images; 0 opens them in this process.
    """

    def __init__(
        self, source: Dataset[Batch], batches: Sequence[list[int]] | EpochBatchSampler, num_workers: int = 0
    ) -> None:
        self.source, self.batches, self.num_workers = source, batches, num_workers
        self._failed: dict[str, str] = {}

    def __len__(self) -> int:
        """Number of batches of this rank."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return self._load(list(self.batches))

    def _load(self, batches: list[list[int]]) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            self.source,
            batch_size=None,
            sampler=batches,
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
            # Without it the loader would draw from the global random state, and at a resumed start once more.
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(self.source, ReferenceBatches):
                self._report(batch.get("failures", {}))
            yield batch

    def _report(self, failures: dict[str, str]) -> None:
        """Names, once and on each process, what a training goes on without."""
        if new := {name: why for name, why in failures.items() if name not in self._failed}:
            self._failed |= new
            names = "\n  ".join(f"{shown(name)} ({why})" for name, why in new.items())
            warnings.warn(
                f"{len(self._failed)} images can no longer be read, and the training goes on without them; the last:"
                f"\n  {names}",
                stacklevel=2,
            )


class LoaderState(TypedDict):
    """A place in training: so many batches of that epoch are done, in the order that these settings make."""

    epoch: int
    batches_done: int
    order: dict[str, int | str]


class ResumableLoader(BatchLoader[Batch]):
    """A training loader that goes on within an epoch where a Lightning checkpoint left it.

    Args:
        source: Makes a batch out of indices.
        sampler: The indices of each batch of this rank, in an order of their own each epoch.
        num_workers: Processes that open images; 0 opens them in this process.
    """

    def __init__(self, source: Dataset[Batch], sampler: EpochBatchSampler, num_workers: int = 0) -> None:
        super().__init__(source, sampler, num_workers)
        self.sampler = sampler  # the name under which Lightning looks for `set_epoch`
        self._place = self._resume_at = (0, 0)

    def __iter__(self) -> Iterator[Batch]:
        # As a generator this begins with the first batch, so after `load_state_dict` and `set_epoch`.
        epoch, first = self._resume_at
        if epoch != self.sampler.epoch:
            epoch, first = self.sampler.epoch, 0
        self._resume_at = (epoch, 0)
        for done, batch in enumerate(self._load(list(self.sampler)[first:]), start=first + 1):
            self._place = (epoch, done)  # counted before the step, for a checkpoint is written at its end
            yield batch

    def state_dict(self) -> LoaderState:
        """The place in training, for a checkpoint."""
        epoch, batches_done = self._place
        return {"epoch": epoch, "batches_done": batches_done, "order": self._order_settings()}

    def load_state_dict(self, state: LoaderState) -> None:
        """Goes on behind the batches that are done, or warns where the order of the batches has changed."""
        before, now = state["order"], self._order_settings()
        if before != now:
            rank_zero_warn(
                f"The checkpoint was written with {before} and this run has {now}, so the "
                "interrupted epoch starts again with its first batch. To go on exactly, take the same "
                "references, `seed` and `batch_size` x processes."
            )
            state = {**state, "batches_done": 0}
        self._place = self._resume_at = (state["epoch"], state["batches_done"])

    def _order_settings(self) -> dict[str, int | str]:
        sampler = self.sampler
        size = sampler.global_batch_size
        of = self.source.references.digest if isinstance(self.source, ReferenceBatches) else ""
        order = {"seed": sampler.seed} if sampler.shuffle else {"shuffle": False}
        return {"references": sampler.size, "their digest": of, "global batch size": size, **order}


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _negative_digest(path: Path) -> str:
    way_out = "Correct its path in `negative_references`, or leave it out."
    if not path.is_file():
        raise FileNotFoundError(f"There is no file `{path}`, a negative reference. {way_out}")
    try:
        return open_image(ImageFile(path))[1]
    except ValueError as error:
        raise ValueError(f"The negative reference `{path}` cannot be read: {error}. {way_out}") from error
