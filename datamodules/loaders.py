"""Which references and pictures make which batch, and loaders that Lightning can neither re-shard nor rebuild."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from datamodules.batches import Reference, ReferenceBatch
from datamodules.references import ReferenceSet
from datamodules.vocabulary import shown

Batch = TypeVar("Batch")


def batches_of(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """The indices in their order, `batch_size` at a time; the last batch may be smaller."""
    return [list(indices[start : start + batch_size]) for start in range(0, len(indices), batch_size)]


def share_of_rank(size: int, rank: int, world_size: int) -> range:
    """This rank's indices of 0 .. size-1: each on exactly one rank, in shares that differ by one at most."""
    return range(size * rank // world_size, size * (rank + 1) // world_size)


class EpochBatchSampler:
    """Batches of the indices 0 .. size-1, in which each comes exactly once an epoch, over all ranks together.

    A global batch of `batch_size * world_size` is dealt out to the ranks: together they see what one process would see
    with the larger batch. All ranks get the same number of batches: a last global batch with fewer samples than ranks
    is joined to the one before it. The order depends on seed and epoch alone, without `shuffle` on nothing.

    Raises:
        ValueError: If there are fewer samples than ranks.
    """

    def __init__(
        self, size: int, batch_size: int, rank: int = 0, world_size: int = 1, *, seed: int = 0, shuffle: bool = True
    ) -> None:
        if size < world_size:
            raise ValueError(
                f"Training needs a reference for each of the {world_size} processes, but there are {size}. "
                "Use fewer `devices` or more references."
            )
        self.size, self.rank, self.world_size = size, rank, world_size
        self.global_batch_size = batch_size * world_size
        self.seed, self.shuffle = seed, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration; Lightning calls it before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of batches in an epoch, the same on each rank."""
        last_is_too_small = 0 < self.size % self.global_batch_size < self.world_size
        return ceil(self.size / self.global_batch_size) - last_is_too_small

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(self.size))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size).tolist()
        starts = [i * self.global_batch_size for i in range(len(self))]
        for start, stop in zip(starts, [*starts[1:], self.size], strict=True):
            yield order[start:stop][self.rank :: self.world_size]


class ReferenceBatches(Dataset[ReferenceBatch]):
    """The train set, of which batches are opened by their indices: a `ReferenceSource`."""

    def __init__(self, images: ReferenceSet, batch_size: int, vocabulary: Sequence[str] = ()) -> None:
        self.images, self.batch_size, self.vocabulary = images, batch_size, vocabulary
        self._failed: set[str] = set()

    @property
    def references(self) -> list[Reference]:
        """All references, in the order of their indices."""
        return self.images.references

    def open(self, indices: Sequence[int]) -> ReferenceBatch:
        """The batch of these indices; its failures are reported."""
        batch = self[indices]
        self.report(batch["failures"])
        return batch

    def without(self, references: Sequence[Reference], left_out: Collection[int]) -> list[Reference]:
        """Those whose index is not left out; where there is none, the next of the set that is not."""
        kept = [reference for reference in references if reference.index not in left_out]
        return kept or next([other] for other in self._after(references[0].index) if other.index not in left_out)

    def __getitem__(self, indices: Sequence[int]) -> ReferenceBatch:
        batch: ReferenceBatch = {"references": [], "images": [], "content_maps": [], "failures": {}}
        for index in indices:
            self._add(self.references[index], batch)
        for reference in self._after(indices[0]):  # so that each process has as many batches as the others
            if not batch["references"]:
                self._add(reference, batch)
        if not batch["references"]:
            raise ValueError(f"None of the {len(self.images)} images of the training can be read any more.")
        return batch

    def report(self, failures: Mapping[str, str]) -> None:
        """Names, once and on each process, what a training goes on without."""
        new = "\n  ".join(f"{shown(name)} ({why})" for name, why in failures.items() if name not in self._failed)
        self._failed |= failures.keys()
        if new:
            told = "images can no longer be read, and the training goes on without them; the last:"
            warnings.warn(f"{len(self._failed)} {told}\n  {new}", stacklevel=2)

    def _after(self, index: int) -> list[Reference]:
        """All others, from the next on."""
        return [*self.references[index + 1 :], *self.references[:index]]

    def _add(self, reference: Reference, batch: ReferenceBatch) -> None:
        """Adds a reference to a batch, to its failures where it cannot be read."""
        try:
            image, content_map = self.images.image(reference.index), self.images.content_map(reference.index)
        except ValueError as error:
            batch["failures"][self.images.source(reference.index).name] = str(error)
            return
        batch["references"].append(reference)
        batch["images"].append(image)
        batch["content_maps"].append(content_map)


class BatchLoader(Iterable[Batch]):
    """One batch for each list of indices, in order, whatever the number of workers.

    It is no `DataLoader` and has no `sampler`, because Lightning replaces the samplers of those with its own,
    which would repeat or drop samples. `source` makes each batch of this rank of its indices in `batches`.
    """

    def __init__(
        self, source: Dataset[Batch], batches: Sequence[list[int]] | EpochBatchSampler, num_workers: int = 0
    ) -> None:
        self.source, self.batches, self.num_workers = source, batches, num_workers

    @property
    def sizes(self) -> list[int]:
        """Pictures of each batch of this rank."""
        return [len(indices) for indices in self.batches]

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
            collate_fn=torch.nn.Identity(),
            # Without it the loader would draw from the global random state, and at a resumed start once more.
            generator=torch.Generator(),
        )
        return iter(loader)


class ResumableLoader(BatchLoader[ReferenceBatch]):
    """The batches of training, which go on within an epoch where a Lightning checkpoint left them.

    Images are opened ahead by workers, where there are any; else whoever needs one opens it by the batch's `source`.
    """

    source: ReferenceBatches

    def __init__(self, source: ReferenceBatches, sampler: EpochBatchSampler, num_workers: int = 0) -> None:
        super().__init__(source, sampler, num_workers)
        self.sampler = sampler  # the name under which Lightning looks for `set_epoch`
        self._place = self._resume_at = (0, 0)

    def __iter__(self) -> Iterator[ReferenceBatch]:
        # As a generator this begins with the first batch, so after `load_state_dict` and `set_epoch`.
        epoch, first = self._resume_at
        if epoch != self.sampler.epoch:
            epoch, first = self.sampler.epoch, 0
        self._resume_at = (epoch, 0)
        for done, batch in enumerate(self._load(list(self.sampler)[first:]), start=first + 1):
            self._place = (epoch, done)  # counted before the step, for a checkpoint is written at its end
            self.source.report(batch.get("failures", {}))
            yield {**batch, "source": self.source}

    def _load(self, batches: list[list[int]]) -> Iterator[ReferenceBatch]:
        if self.num_workers:
            return super()._load(batches)
        return ({"references": [self.source.references[index] for index in indices]} for indices in batches)

    def state_dict(self) -> dict[str, Any]:
        """The place in training, for a checkpoint: batches that are done of an epoch, and what makes their order."""
        epoch, batches_done = self._place
        return {"epoch": epoch, "batches_done": batches_done, "order": self._order_settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on behind the batches that are done, or warns where the order of the batches has changed."""
        before, now = state["order"], self._order_settings()
        if before != now:
            rank_zero_warn(
                f"The checkpoint was written with {before} and this run has {now}, so the interrupted epoch starts "
                "again with its first batch. To go on exactly, take the same references, `seed` and `batch_size` x "
                "processes."
            )
            state = {**state, "batches_done": 0}
        self._place = self._resume_at = (state["epoch"], state["batches_done"])

    def _order_settings(self) -> dict[str, int | str]:
        sampler, digest = self.sampler, self.source.images.digest
        order = {"seed": sampler.seed} if sampler.shuffle else {"shuffle": False}
        size = sampler.global_batch_size
        return {"references": sampler.size, "their digest": digest, "global batch size": size, **order}
