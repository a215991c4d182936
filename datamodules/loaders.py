"""Loaders that Lightning can neither re-shard nor rebuild, and whose place in an epoch a checkpoint keeps."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypedDict, TypeVar

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from datamodules.batches import Job, JobBatch, ReferenceBatch
from datamodules.references import ReferenceSet
from datamodules.sampling import EpochBatchSampler

Batch = TypeVar("Batch")


class ReferenceBatches(Dataset[ReferenceBatch]):
    """Batches of references by their indices in the set, with their images unless `keys_only`."""

    def __init__(self, references: ReferenceSet, keys_only: bool = False) -> None:
        self.references, self.keys_only = references, keys_only

    def __getitem__(self, indices: list[int]) -> ReferenceBatch:
        batch: ReferenceBatch = {"references": [self.references.references[index] for index in indices]}
        if not self.keys_only:
            batch["images"] = [self.references.image(index) for index in indices]
        return batch


class JobBatches(Dataset[JobBatch]):
    """Batches of jobs by their positions in the list; each reference image is opened once a batch."""

    def __init__(self, references: ReferenceSet, jobs: Sequence[Job]) -> None:
        self.references, self.jobs = references, jobs

    def __getitem__(self, indices: list[int]) -> JobBatch:
        jobs = [self.jobs[index] for index in indices]
        images = {index: self.references.image(index) for index in {job.reference.index for job in jobs}}
        return {"jobs": jobs, "images": [images[job.reference.index] for job in jobs]}


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
        return iter(loader)


class LoaderState(TypedDict):
    """A place in training: so many batches of that epoch are done, in the order that these settings make."""

    epoch: int
    batches_done: int
    order: dict[str, int]


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

    def _order_settings(self) -> dict[str, int]:
        sampler = self.sampler
        size = sampler.global_batch_size
        return {"references": sampler.size, "global batch size": size, "seed": sampler.seed}


def _as_it_is(batch: Batch) -> Batch:
    return batch
