"""The order of training, on how many processes, with and without workers, and its place in a checkpoint."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.loaders import (
    BatchLoader,
    EpochBatchSampler,
    ReferenceBatches,
    ResumableLoader,
    batches_of,
    share_of_rank,
)
from datamodules.references import ReferenceSet
from datamodules.shards import open_references
from tests.unit.datamodules.folders import write_folder

SIZES = [(size, batch, world) for size in (4, 7, 8, 17, 33) for batch in (1, 2, 5, 50) for world in (1, 2, 3, 4)]


def ranks(size: int, batch: int, world: int, seed: int = 3, epoch: int = 0) -> list[list[list[int]]]:
    samplers = [EpochBatchSampler(size, batch, rank, world, seed=seed) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize(("size", "batch", "world"), SIZES)
def test_each_sample_comes_once_an_epoch_as_one_process_would_see_it(size: int, batch: int, world: int) -> None:
    of_ranks = ranks(size, batch, world)
    assert Counter(index for batches in of_ranks for indices in batches for index in indices) == Counter(range(size))
    assert {len(batches) for batches in of_ranks} == {len(EpochBatchSampler(size, batch, 0, world))}
    assert all(indices for batches in of_ranks for indices in batches)
    alone = ranks(size, batch * world, 1)[0]
    if len(alone) > 1 and len(alone[-1]) < world:
        alone[-2:] = [alone[-2] + alone[-1]]
    together = [{i for rank in batches for i in rank} for batches in zip(*of_ranks, strict=True)]
    assert together == [set(indices) for indices in alone]


def test_batches_have_the_size_asked_for_but_for_the_last() -> None:
    assert [[len(indices) for indices in batches] for batches in ranks(17, 4, 2)] == [[4, 5], [4, 4]]
    assert [len(indices) for indices in ranks(18, 4, 2)[1]] == [4, 4, 1]
    assert batches_of(range(3, 8), 2) == [[3, 4], [5, 6], [7]]
    assert batches_of([], 2) == []


def test_the_order_depends_on_seed_and_epoch_alone_or_is_that_of_the_samples() -> None:
    assert ranks(9, 4, 1) == ranks(9, 4, 1)
    orders = [ranks(9, 4, 1, seed, epoch) for seed, epoch in ((3, 0), (3, 1), (4, 0), (0, 3), (1, 3))]
    assert all(one != other for i, one in enumerate(orders) for other in orders[:i])
    assert list(EpochBatchSampler(5, 2, shuffle=False)) == [[0, 1], [2, 3], [4]]


def test_fewer_references_than_processes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"each of the 4 processes, but there are 3. Use fewer `devices`"):
        EpochBatchSampler(3, 2, 0, 4)


@pytest.mark.parametrize("size", [0, 1, 3, 10])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_shares_of_all_ranks_are_all_indices_once_and_even(size: int, world: int) -> None:
    shares = [list(share_of_rank(size, rank, world)) for rank in range(world)]
    assert [index for share in shares for index in share] == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> ReferenceSet:
    return open_references(write_folder(tmp_path_factory.mktemp("set")))


def resumable(references: ReferenceSet, num_workers: int = 0, **settings: int) -> ResumableLoader:
    arguments = {"size": len(references), "batch_size": 5, "seed": 7} | settings
    return ResumableLoader(ReferenceBatches(references, 5), EpochBatchSampler(**arguments), num_workers)


def indices(loader: ResumableLoader) -> list[list[int]]:
    return [[reference.index for reference in batch["references"]] for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(references: ReferenceSet, num_workers: int) -> None:
    batches = list(BatchLoader(ReferenceBatches(references, 3), [[3, 1], [0], [7, 5, 2]], num_workers))
    assert [[r.index for r in batch["references"]] for batch in batches] == [[3, 1], [0], [7, 5, 2]]
    colours = [[image.getpixel((0, 0))[0] for image in batch["images"]] for batch in batches]
    assert colours == [[3, 1], [0], [7, 5, 2]]


def test_workers_alone_open_images_ahead(references: ReferenceSet) -> None:
    for batch in resumable(references, num_workers=2):
        assert [image.getpixel((0, 0))[0] for image in batch["images"]] == [r.index for r in batch["references"]]
        assert batch["content_maps"] == [None] * len(batch["references"])
    assert indices(resumable(references, num_workers=2)) == indices(resumable(references))
    assert not any("images" in batch for batch in resumable(references))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_training_goes_on_without_images_that_are_gone_in_as_many_batches(tmp_path: Path, num_workers: int) -> None:
    references = open_references(write_folder(tmp_path, ("cat",), ("lego toy",), 4))
    paths = [file.path for file in references.files.values()]
    for index in (0, 1):
        paths[index].unlink()
    source = ReferenceBatches(references, 2)
    loader = ResumableLoader(source, EpochBatchSampler(4, 2, shuffle=False), num_workers)
    with pytest.warns(UserWarning, match="2 images can no longer be read.*without them") as record:
        batches = list(loader) if num_workers else [source.open(indices) for indices in ([0, 1], [2, 0])]
    assert len(record) == 1
    assert [batch["references"][0].index for batch in batches] == [2, 2]
    assert [len(batch["images"]) for batch in batches] == [1, 2 if num_workers else 1]
    assert [r.index for r in source.without(references.references[:2], {0, 1})] == [2]
    assert [r.index for r in source.without(references.references[1:], {1, 2})] == [3]
    for path in paths[2:]:
        path.unlink()
    with pytest.raises(ValueError, match="None of the 4 images of the training can be read any more"):
        source.open([3])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loading_leaves_the_global_random_state_alone(references: ReferenceSet, num_workers: int) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    indices(resumable(references, num_workers))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_a_resumed_loader_goes_on_behind_the_batches_that_are_done(references: ReferenceSet) -> None:
    loader = resumable(references)
    loader.sampler.set_epoch(4)
    expected = indices(loader)
    next(iter(loader))
    state = loader.state_dict()
    order = {"references": 12, "their digest": references.digest, "global batch size": 5, "seed": 7}
    assert state == {"epoch": 4, "batches_done": 1, "order": order}
    resumed = resumable(references)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    resumed.sampler.set_epoch(4)
    assert [indices(resumed), indices(resumed)] == [expected[1:], expected]
    assert len(resumed) == 3
    resumed.load_state_dict({**state, "epoch": 3, "batches_done": 2})
    assert indices(resumed) == expected, "the next epoch starts with its first batch"


def test_a_place_in_another_order_is_dropped_with_a_warning(references: ReferenceSet) -> None:
    state = resumable(references).state_dict()
    resumed = resumable(references, seed=8)
    with pytest.warns(UserWarning, match=r"'seed': 7} and this run has .*'seed': 8}, so the interrupted epoch"):
        resumed.load_state_dict({**state, "batches_done": 2})
    assert len(indices(resumed)) == 3


def test_as_many_processes_with_smaller_batches_are_the_same_order(references: ReferenceSet) -> None:
    state = resumable(references, batch_size=6).state_dict()
    resumed = resumable(references, batch_size=3, rank=1, world_size=2)
    resumed.load_state_dict({**state, "batches_done": 1})
    assert len(indices(resumed)) == 1
