"""The datamodule of style references: its batches, on how many processes, and what is finished."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules.batches import Job
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import jobs_of, write_folder, write_image
from tests.unit.datamodules.predicted import write_predictions


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "train", per_style=2)
    write_folder(root / "test", ("bird", "cat"), ("statue", "tattoo", "pop art"), per_style=2)
    return root


def make(data: Path, rank: int = 0, world_size: int = 1, **settings: Any) -> StyleReferences:
    references = StyleReferences(str(data / "train"), str(data / "test"), **{"prompts": ["A rocket"]} | settings)
    references.trainer = Rank(rank, world_size)  # type: ignore[assignment]
    return references


class Rank:
    """What the datamodule asks a trainer for."""

    def __init__(self, global_rank: int, world_size: int) -> None:
        self.global_rank, self.world_size, self.overfit_batches = global_rank, world_size, 0.0


def test_the_defaults_are_the_published_ones() -> None:
    references = StyleReferences()
    assert (references.train, references.test) == ("data/object", "data/object_test")
    assert references.prompts == ["A bench", "A human", "A laptop", "A rocket", "A flower"]
    assert (references.batch_size, references.generation_batch_size, references.seed) == (8, 30, 42)
    assert (references.evaluation_references, references.predict_references) == (24, None)
    assert (references.references_per_picture, references.negative_references) == (1, [])
    assert references.content_words is None


def test_training_names_each_reference_once_an_epoch_beside_the_whole_set(data: Path) -> None:
    batches = list(make(data, batch_size=5).train_dataloader())
    assert [len(batch["references"]) for batch in batches] == [5, 5, 2]
    assert {tuple(sorted(batch)) for batch in batches} == {("references", "source")}
    indices = [reference.index for batch in batches for reference in batch["references"]]
    assert indices != sorted(indices) == list(range(12))
    source = batches[0]["source"]
    assert ([r.index for r in source.references], source.batch_size) == (list(range(12)), 5)
    assert [image.getpixel((0, 0))[0] for image in source.open([7, 2])["images"]] == [7, 2]


def test_the_ranks_share_an_epoch_of_training_and_overfitting_keeps_the_order(data: Path) -> None:
    seen = [list(make(data, rank, 2, batch_size=4).train_dataloader()) for rank in range(2)]
    assert [[len(batch["references"]) for batch in batches] for batches in seen] == [[4, 2], [4, 2]]
    assert sorted(r.index for batches in seen for batch in batches for r in batch["references"]) == list(range(12))
    references = make(data, batch_size=2)
    references.trainer.overfit_batches = 2  # type: ignore[union-attr]
    loader = references.train_dataloader()
    loader.sampler.set_epoch(1)
    assert [reference.index for batch in loader for reference in batch["references"]] == list(range(12))


def test_pictures_belong_to_the_content_of_their_reference(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "test", ("bird", "cat"), ("statue",), per_style=2)
    before = {job.identity: job for job in make(tmp_path).predict_jobs}
    first = next(iter(before.values())).reference
    write_image(root / "aardvark" / "a-aardvark-in-statue_0.png", (1, 1, 1))  # sorts before all others
    after = {job.identity: job for job in make(tmp_path).predict_jobs}
    assert set(before) < set(after), "nothing is drawn again"
    assert all(after[identity].reference.index == job.reference.index + 1 for identity, job in before.items())
    write_image(root / f"{first.key}.png", (2, 2, 2))
    edited = {job.identity for job in make(tmp_path).predict_jobs}
    assert {after[identity].reference.key for identity in set(after) - edited} == {first.key}
    assert len(edited) == len(after), "the pictures of the edited reference, and of no other, are new"


def test_validation_and_test_generate_the_same_spread_of_references(data: Path) -> None:
    settings: dict[str, Any] = {"prompts": ["A rocket", "A bench"], "samples_per_prompt": 2, "noise": "shared"}
    references = make(data, evaluation_references=6, generation_batch_size=7, seed=5, **settings)
    batches = list(references.val_dataloader())
    assert [len(batch["jobs"]) for batch in batches] == [7, 7, 7, 3]
    jobs = jobs_of(batches)
    assert jobs == jobs_of(references.test_dataloader())
    assert Counter((job.reference.content, job.reference.style) for job in jobs) == {
        (content, style): 4 for content in ("bird", "cat") for style in ("statue", "tattoo", "pop art")
    }
    told = [(job.prompt, job.sample, job.seed) for job in jobs[:4]]
    assert told == [("A rocket", 0, 5), ("A rocket", 1, 6), ("A bench", 0, 5), ("A bench", 1, 6)]


def test_prediction_takes_all_test_references_or_a_spread_of_some(data: Path) -> None:
    batches = list(make(data).predict_dataloader())
    assert [job.reference.index for job in jobs_of(batches)] == list(range(12))
    assert {tuple(batch["contents"]) for batch in batches} == {("A bird", "A cat")}
    few = make(data, predict_references=3)
    assert {job.reference.style for job in jobs_of(few.predict_dataloader())} == {"statue", "tattoo", "pop art"}


def test_finished_pictures_are_left_out_of_prediction_alone_and_counted_once(data: Path, tmp_path: Path) -> None:
    references = make(data, prompts=["A rocket", "A bench"], evaluation_references=2, generation_batch_size=4)
    jobs, folder = references.predict_jobs, tmp_path / "out"
    references.finished_in = str(folder)
    references.setup("predict")
    assert jobs_of(references.predict_dataloader()) == jobs
    write_predictions(folder, jobs[:7], ranks=2)
    lost, empty = (
        folder / json.loads(line)["file"] for line in (folder / "generations-0.jsonl").open().readlines()[:2]
    )
    lost.unlink()
    empty.write_bytes(b"")
    with (folder / "generations-1.jsonl").open("a") as file:
        file.write('{"file": "x.png"}\n{"file": "../x.png", "refer')
    assert jobs_of(references.predict_dataloader()) == jobs, "until the next set-up"
    references.setup("predict")
    batches = list(references.predict_dataloader())
    assert jobs_of(batches) == [jobs[0], jobs[2], *jobs[7:]]
    assert [batch["finished"] for batch in batches] == [5, 0, 0, 0, 0]
    assert len(jobs_of(references.val_dataloader())) == 4
    references.finished_in = None
    references.setup("predict")
    assert jobs_of(references.predict_dataloader()) == jobs


def test_jobs_of_several_references_and_content_images_are_known_again(data: Path, tmp_path: Path) -> None:
    for name in ("A bench.png", "A rocket.png"):
        Image.new("RGB", (16, 16)).save(write_image(tmp_path / "content" / name))
    negative = str(write_image(tmp_path / "negative.png"))
    for further in ({"content_images": str(tmp_path / "content")}, {"negative_references": [negative]}):
        references = make(data, references_per_picture=2, **further)
        folder = tmp_path / next(iter(further))
        write_predictions(folder, references.predict_jobs)
        references.finished_in = str(folder)
        references.setup("predict")
        [batch] = references.predict_dataloader()
        assert (batch["jobs"], batch["images"], batch["failures"]) == ([], {}, {})
        assert batch["finished"] == len(references.predict_jobs)


@pytest.mark.parametrize("world_size", [2, 5])
def test_each_job_comes_once_over_all_ranks(data: Path, world_size: int) -> None:
    def of_rank(rank: int, world_size: int) -> list[Job]:
        references = make(data, rank, world_size, predict_references=4, generation_batch_size=3)
        return jobs_of(references.predict_dataloader())

    of_ranks = [of_rank(rank, world_size) for rank in range(world_size)]
    assert [job for jobs in of_ranks for job in jobs] == of_rank(0, 1)
    assert [len(jobs) for jobs in of_ranks] == ([2, 2] if world_size == 2 else [0, 1, 1, 1, 1])


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_rank_has_a_batch(data: Path, tmp_path: Path, world_size: int) -> None:
    write_predictions(tmp_path, make(data).predict_jobs)
    for rank in range(world_size):
        references = make(data, rank, world_size, evaluation_references=1)
        [batch] = references.val_dataloader()
        assert len(batch["jobs"]) == (rank == world_size - 1)
        references.finished_in = str(tmp_path)
        references.setup("predict")
        [batch] = references.predict_dataloader()
        assert (batch["jobs"], batch["finished"]) == ([], 0 if rank else 12)


def test_setup_reads_the_set_that_the_stage_needs(data: Path, tmp_path: Path) -> None:
    StyleReferences(str(data / "train"), str(tmp_path / "no")).setup("fit")
    StyleReferences(str(tmp_path / "no"), str(data / "test")).setup("predict")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        StyleReferences(str(data / "train"), str(tmp_path / "no")).setup("validate")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prompts", [], r"`prompts` is a list of at least one prompt and was \[\]. Give one or more"),
        ("prompts", "A rocket", r"`prompts` is a list of at least one prompt and was 'A rocket'"),
        ("prompts", ["A rocket", " "], r"Prompt 1 of `prompts` is blank"),
        ("prompts", ["A rocket", "A rocket"], r"`prompts` has a prompt twice.*`samples_per_prompt` gives more"),
        ("batch_size", 0, "from 1 up and was 0"),
        ("generation_batch_size", 0, "from 1 up and was 0"),
        ("samples_per_prompt", 0, "from 1 up and was 0"),
        ("evaluation_references", 0, "from 1 up and was 0"),
        ("predict_references", 0, "from 1 up and was 0"),
        ("references_per_picture", 0, "from 1 up and was 0"),
        ("num_workers", -1, "from 0 up and was -1"),
    ],
)
def test_arguments_that_ask_for_nothing_or_twice_are_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message if name == "prompts" else f"`{name}` is a number {message}"):
        StyleReferences(**{name: value})
