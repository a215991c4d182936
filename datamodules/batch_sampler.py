"""Which samples make which batch, on which rank: pure functions of sizes, ranks and a seed."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np


class EpochBatchSampler:
    """Batches of indices in which every sample comes exactly once an epoch, over all ranks together.

    A global batch holds `batch_size * world_size` samples and is dealt out to the ranks, so that together
    they see what one process would see with the larger batch. All ranks get the same number of batches: a
    last global batch with fewer samples than ranks is joined to the one before it.

    Args:
        size: Number of samples.
        batch_size: Samples a batch and rank.
        rank: Rank of this process, 0 .. world_size-1.
        world_size: Number of processes.
        seed: Seed of the order, from 0 up; the order of an epoch depends on seed and epoch alone.
        shuffle: False keeps the samples in their order.

    Raises:
        ValueError: If there are fewer samples than ranks.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        *,
        seed: int = 0,
        shuffle: bool = True,
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
        n_batches = ceil(self.size / self.global_batch_size)
        last_is_too_small = 0 < self.size % self.global_batch_size < self.world_size
        return n_batches - last_is_too_small

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        starts = [i * self.global_batch_size for i in range(len(self))]
        for start, stop in zip(starts, [*starts[1:], self.size], strict=True):
            yield order[start:stop][self.rank :: self.world_size]

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        return [int(i) for i in np.random.default_rng([self.seed, self.epoch]).permutation(self.size)]


def batches_of(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """The indices in their order, `batch_size` at a time; the last batch may be smaller."""
    return [list(indices[start : start + batch_size]) for start in range(0, len(indices), batch_size)]


def share_of_rank(size: int, rank: int, world_size: int) -> range:
    """This rank's indices of 0 .. size-1: each on exactly one rank, in shares that differ by one at most."""
    return range(size * rank // world_size, size * (rank + 1) // world_size)
