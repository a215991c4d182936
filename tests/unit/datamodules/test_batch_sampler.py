from collections import Counter

import pytest

from datamodules.batch_sampler import EpochBatchSampler, batches_of, share_of_rank

SIZES = [(size, batch, world) for size in (4, 7, 8, 17, 33) for batch in (1, 2, 5, 50) for world in (1, 2, 3, 4)]


def ranks(size: int, batch: int, world: int, seed: int = 3, epoch: int = 0) -> list[list[list[int]]]:
    samplers = [EpochBatchSampler(size, batch, rank, world, seed=seed) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize(("size", "batch", "world"), SIZES)
def test_each_sample_comes_once_an_epoch_in_as_many_batches_on_each_rank(size: int, batch: int, world: int) -> None:
    of_ranks = ranks(size, batch, world)
    drawn = Counter(index for batches in of_ranks for indices in batches for index in indices)
    assert drawn == Counter(range(size))
    assert {len(batches) for batches in of_ranks} == {len(EpochBatchSampler(size, batch, 0, world))}
    assert all(indices for batches in of_ranks for indices in batches)


@pytest.mark.parametrize(("size", "batch", "world"), SIZES)
def test_the_ranks_together_see_the_batches_of_one_process(size: int, batch: int, world: int) -> None:
    alone = ranks(size, batch * world, 1)[0]
    if len(alone) > 1 and len(alone[-1]) < world:
        alone[-2:] = [alone[-2] + alone[-1]]
    together = [{i for rank in batches for i in rank} for batches in zip(*ranks(size, batch, world), strict=True)]
    assert together == [set(indices) for indices in alone]


def test_batches_have_the_size_asked_for_but_for_the_last() -> None:
    assert [len(indices) for indices in ranks(17, 4, 2)[0]] == [4, 5]
    assert [len(indices) for indices in ranks(17, 4, 2)[1]] == [4, 4]
    assert [len(indices) for indices in ranks(18, 4, 2)[1]] == [4, 4, 1]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert ranks(9, 4, 1) == ranks(9, 4, 1)
    orders = [ranks(9, 4, 1, seed, epoch) for seed, epoch in ((3, 0), (3, 1), (4, 0), (0, 3), (1, 3))]
    assert all(one != other for i, one in enumerate(orders) for other in orders[:i])


def test_without_shuffling_the_samples_keep_their_order() -> None:
    assert list(EpochBatchSampler(5, 2, shuffle=False)) == [[0, 1], [2, 3], [4]]


def test_fewer_references_than_processes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"each of the 4 processes, but there are 3. Use fewer `devices`"):
        EpochBatchSampler(3, 2, 0, 4)


def test_batches_of_keeps_order_and_remainder() -> None:
    assert batches_of(range(3, 8), 2) == [[3, 4], [5, 6], [7]]
    assert batches_of([], 2) == []


@pytest.mark.parametrize("size", [0, 1, 3, 10])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_shares_of_all_ranks_are_all_indices_once_and_even(size: int, world: int) -> None:
    shares = [list(share_of_rank(size, rank, world)) for rank in range(world)]
    assert [index for share in shares for index in share] == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
