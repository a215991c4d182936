from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.batch_sampler import EpochBatchSampler, batches_of
from datamodules.batches import Job
from datamodules.jobs import list_jobs
from datamodules.loaders import BatchLoader, JobBatches, NegativeReferences, ReferenceBatches, ResumableLoader
from datamodules.references import ReferenceFolder, ReferenceSet
from tests.unit.datamodules.folders import spoil, write_folder, write_image


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> ReferenceSet:
    return ReferenceFolder(write_folder(tmp_path_factory.mktemp("set")))


def resumable(references: ReferenceSet, **settings: int) -> ResumableLoader:
    arguments = {"size": len(references), "batch_size": 5, "seed": 7} | settings
    return ResumableLoader(ReferenceBatches(references, keys_only=True), EpochBatchSampler(**arguments))


def indices(loader: BatchLoader) -> list[list[int]]:
    return [[reference.index for reference in batch["references"]] for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(references: ReferenceSet, num_workers: int) -> None:
    batches = list(BatchLoader(ReferenceBatches(references), [[3, 1], [0], [7, 5, 2]], num_workers))
    assert [[r.index for r in batch["references"]] for batch in batches] == [[3, 1], [0], [7, 5, 2]]
    colours = [[image.getpixel((0, 0))[0] for image in batch["images"]] for batch in batches]
    assert colours == [[3, 1], [0], [7, 5, 2]]


def test_images_are_left_out_on_request(references: ReferenceSet) -> None:
    batch = ReferenceBatches(references, keys_only=True)[[2, 0]]
    assert batch == {"references": [references.references[2], references.references[0]]}


def test_a_batch_of_jobs_has_the_image_of_each_and_opens_it_once(
    references: ReferenceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    image = references.image
    monkeypatch.setattr(references, "image", lambda index: opened.append(index) or image(index))
    jobs = list_jobs(references.references[3:6], ["A rocket", "A bench"], 2, seed=0)
    batch = JobBatches(references, jobs)[[2, 3, 4, 5]]
    assert batch["jobs"] == jobs[2:6]
    assert {key: image.getpixel((0, 0))[0] for key, image in batch["images"].items()} == {
        references.references[index].key: index for index in (3, 4)
    }
    assert sorted(opened) == [3, 4]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_of_jobs_has_the_images_of_others_and_negatives_too(
    references: ReferenceSet, tmp_path: Path, num_workers: int
) -> None:
    files = [
        str(write_image(tmp_path / name, colour)) for name, colour in (("a.png", (91, 0, 0)), ("b.PNG", (92, 0, 0)))
    ]
    negatives = NegativeReferences(files)
    all_references = references.references
    others = {r.key: (all_references[r.index + 1], all_references[7]) for r in all_references[3:5]}
    jobs = list_jobs(all_references[3:5], ["A rocket"], 2, 0, others, negatives.references, shared_noise=True)
    assert jobs[2] == Job(
        all_references[4], "A rocket", 0, 0, (all_references[5], all_references[7]), jobs[0].negatives
    )
    [batch] = BatchLoader(JobBatches(references, jobs, negatives), [[0, 1, 2, 3]], num_workers)
    assert batch["jobs"] == jobs
    assert {key: image.getpixel((0, 0))[0] for key, image in batch["images"].items()} == {
        **{all_references[index].key: index for index in (3, 4, 5, 7)},
        f"negative:{files[0]}": 91,
        f"negative:{files[1]}": 92,
    }


def test_negative_references_are_told_apart_from_those_of_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "bad" / "smooth.jpg")
    write_image(tmp_path / "grey.png")
    negatives = NegativeReferences(["./bad//smooth.jpg", "grey.png"]).references
    assert tuple(reference[:4] for reference in negatives) == (
        (-1, "negative:bad/smooth.jpg", "", "negative"),
        (-2, "negative:grey.png", "", "negative"),
    )
    assert NegativeReferences([]).references == ()


def test_a_negative_reference_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    good, bad = write_image(tmp_path / "good.png"), spoil(write_image(tmp_path / "bad.png"), keep=0)
    with pytest.raises(
        FileNotFoundError, match=r"There is no file `.*/no.png`, a negative reference. Correct its path"
    ):
        NegativeReferences([str(good), str(tmp_path / "no.png")])
    with pytest.raises(ValueError, match=r"negative reference `.*/bad.png` cannot be read: the file is empty. Correct"):
        NegativeReferences([str(bad)])


def test_loading_leaves_the_global_random_state_alone(references: ReferenceSet) -> None:
    state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    indices(resumable(references))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_a_loader_of_nothing_is_empty(references: ReferenceSet) -> None:
    loader = BatchLoader(JobBatches(references, []), batches_of([], 30))
    assert len(loader) == 0
    assert list(loader) == []


def test_a_resumed_loader_goes_on_behind_the_batches_that_are_done(references: ReferenceSet) -> None:
    loader = resumable(references)
    loader.sampler.set_epoch(4)
    expected = indices(loader)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    assert state == {
        "epoch": 4,
        "batches_done": 1,
        "order": {"references": 12, "their digest": references.digest, "global batch size": 5, "seed": 7},
    }
    resumed = resumable(references)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    resumed.sampler.set_epoch(4)
    assert indices(resumed) == expected[1:]
    assert indices(resumed) == expected
    assert len(resumed) == 3


def test_the_next_epoch_starts_with_its_first_batch(references: ReferenceSet) -> None:
    loader = resumable(references)
    loader.sampler.set_epoch(1)
    expected = indices(loader)
    resumed = resumable(references)
    resumed.load_state_dict({**loader.state_dict(), "epoch": 0, "batches_done": 2})
    resumed.sampler.set_epoch(1)
    assert indices(resumed) == expected


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
