from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.batches import Job
from datamodules.references import ReferenceFolder
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import write_folder, write_image


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "train", per_style=2)
    write_folder(root / "test", ("bird", "cat"), ("statue", "tattoo", "pop art"), per_style=2)
    return root


def make(data: Path, **settings: Any) -> StyleReferences:
    return StyleReferences(str(data / "train"), str(data / "test"), **settings)


class Rank:
    """What the datamodule asks a trainer for."""

    def __init__(self, global_rank: int, world_size: int) -> None:
        self.global_rank, self.world_size, self.overfit_batches = global_rank, world_size, 0.0


def jobs_of(loader: Any) -> list[Job]:
    return [job for batch in loader for job in batch["jobs"]]


def test_the_defaults_are_the_published_ones() -> None:
    references = StyleReferences()
    assert (references.train, references.test) == ("data/object", "data/object_test")
    assert references.prompts == ["A bench", "A human", "A laptop", "A rocket", "A flower"]
    assert (references.batch_size, references.generation_batch_size, references.seed) == (8, 30, 42)
    assert (references.evaluation_references, references.predict_references) == (24, None)
    assert (references.references_per_picture, references.negative_references) == (1, [])
    assert references.content_words is None


def test_training_sees_each_reference_once_an_epoch_with_its_image(data: Path) -> None:
    batches = list(make(data, batch_size=5).train_dataloader())
    assert [len(batch["references"]) for batch in batches] == [5, 5, 2]
    assert [len(batch["images"]) for batch in batches] == [5, 5, 2]
    indices = [reference.index for batch in batches for reference in batch["references"]]
    assert sorted(indices) == list(range(12))
    assert indices != list(range(12))


def test_training_comes_without_images_where_the_module_has_cached_them(data: Path) -> None:
    references = make(data, num_workers=2)
    references.keys_only = True
    loader = references.train_dataloader()
    assert loader.num_workers == 0
    assert [sorted(batch) for batch in loader] == [["references"]] * 2


def test_encoding_sees_each_train_reference_once_in_order_on_every_rank(data: Path) -> None:
    for rank in range(2):
        references = make(data, batch_size=5)
        references.trainer = Rank(rank, 2)  # type: ignore[assignment]
        references.keys_only = True
        batches = list(references.encoding_dataloader())
        assert [r.index for batch in batches for r in batch["references"]] == list(range(12))
        assert [image.getpixel((0, 0))[0] for batch in batches for image in batch["images"]] == list(range(12))


def test_pictures_belong_to_the_content_of_their_reference(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "test", ("bird", "cat"), ("statue",), per_style=2)
    before = {job.identity: job for job in make(tmp_path).predict_jobs}
    first, *_ = ReferenceFolder(root).references
    write_image(root / "aardvark" / "a-aardvark-in-statue_0.png", (1, 1, 1))  # sorts before all others
    after = {job.identity: job for job in make(tmp_path).predict_jobs}
    assert set(before) < set(after), "nothing is drawn again"
    assert all(after[identity].reference.index == job.reference.index + 1 for identity, job in before.items())
    write_image(root / f"{first.key}.png", (2, 2, 2))
    edited = {job.identity for job in make(tmp_path).predict_jobs}
    gone = set(after) - edited
    assert {after[identity].reference.key for identity in gone} == {first.key}
    assert len(edited) == len(after), "the pictures of the edited reference, and of no other, are new"


def test_validation_and_test_generate_the_same_spread_of_references(data: Path) -> None:
    settings: dict[str, Any] = {
        "prompts": ["A rocket", "A bench"],
        "samples_per_prompt": 2,
        "seed": 5,
        "noise": "shared",
    }
    references = make(data, evaluation_references=6, generation_batch_size=7, **settings)
    batches = list(references.val_dataloader())
    assert [len(batch["jobs"]) for batch in batches] == [7, 7, 7, 3]
    jobs = jobs_of(references.val_dataloader())
    assert jobs == jobs_of(references.test_dataloader())
    assert Counter((job.reference.content, job.reference.style) for job in jobs) == {
        (content, style): 4 for content in ("bird", "cat") for style in ("statue", "tattoo", "pop art")
    }
    assert [(job.prompt, job.sample, job.seed) for job in jobs[:4]] == [
        ("A rocket", 0, 5),
        ("A rocket", 1, 6),
        ("A bench", 0, 5),
        ("A bench", 1, 6),
    ]


def test_prediction_takes_all_test_references_or_a_spread_of_some(data: Path) -> None:
    references = make(data, prompts=["A rocket"])
    assert [job.reference.index for job in jobs_of(references.predict_dataloader())] == list(range(12))
    few = make(data, prompts=["A rocket"], predict_references=3)
    assert {job.reference.style for job in jobs_of(few.predict_dataloader())} == {"statue", "tattoo", "pop art"}


def test_jobs_that_are_done_are_dropped_from_prediction_alone(data: Path) -> None:
    references = make(data, prompts=["A rocket", "A bench"], evaluation_references=2)
    references.keep_jobs(lambda job: job.prompt == "A bench" and job.reference.index > 3)
    jobs = jobs_of(references.predict_dataloader())
    assert [(job.prompt, job.reference.index) for job in jobs] == [("A bench", index) for index in range(4, 12)]
    assert len(jobs_of(references.val_dataloader())) == 4


def test_when_all_jobs_are_done_there_is_nothing_to_predict(data: Path) -> None:
    references = make(data)
    references.keep_jobs(lambda job: False)
    assert len(references.predict_dataloader()) == 0


@pytest.mark.parametrize("world_size", [2, 5])
def test_each_job_comes_once_over_all_ranks(data: Path, world_size: int) -> None:
    def of_rank(rank: int, world_size: int) -> list[Job]:
        references = make(data, prompts=["A rocket"], predict_references=4, generation_batch_size=3)
        references.trainer = Rank(rank, world_size)  # type: ignore[assignment]
        return jobs_of(references.predict_dataloader())

    of_ranks = [of_rank(rank, world_size) for rank in range(world_size)]
    assert [job for jobs in of_ranks for job in jobs] == of_rank(0, 1)
    assert [len(jobs) for jobs in of_ranks] == ([2, 2] if world_size == 2 else [0, 1, 1, 1, 1])


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_rank_has_a_batch_where_any_has_one(data: Path, world_size: int) -> None:
    for rank in range(world_size):
        references = make(data, prompts=["A rocket"], evaluation_references=1)
        references.trainer = Rank(rank, world_size)  # type: ignore[assignment]
        [batch] = references.val_dataloader()
        assert len(batch["jobs"]) == (rank == world_size - 1)
        references.keep_jobs(lambda job: False)
        assert len(references.predict_dataloader()) == 0


def test_overfitting_takes_the_references_in_their_order(data: Path) -> None:
    references = make(data, batch_size=2)
    orders = []
    for overfit_batches in (0.0, 2):
        references.trainer = Rank(0, 1)  # type: ignore[assignment]
        references.trainer.overfit_batches = overfit_batches  # type: ignore[union-attr]
        loader = references.train_dataloader()
        loader.sampler.set_epoch(1)
        orders.append([reference.index for batch in loader for reference in batch["references"]])
    assert orders[1] == sorted(orders[0]) != orders[0]


def test_the_ranks_share_an_epoch_of_training(data: Path) -> None:
    seen = []
    for rank in range(2):
        references = make(data, batch_size=4)
        references.trainer = Rank(rank, 2)  # type: ignore[assignment]
        seen.append([[r.index for r in batch["references"]] for batch in references.train_dataloader()])
    assert [list(map(len, batches)) for batches in seen] == [[4, 2], [4, 2]]
    assert sorted(i for batches in seen for batch in batches for i in batch) == list(range(12))


def test_setup_reads_the_set_that_the_stage_needs(data: Path, tmp_path: Path) -> None:
    StyleReferences(str(data / "train"), str(tmp_path / "no")).setup("fit")
    StyleReferences(str(tmp_path / "no"), str(data / "test")).setup("predict")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        StyleReferences(str(data / "train"), str(tmp_path / "no")).setup("validate")


def test_the_contents_of_the_test_set_are_named_as_prompts(data: Path) -> None:
    assert make(data).content_prompts == ["A bird", "A cat"]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], r"`prompts` is a list of at least one prompt and was \[\]. Give one or more"),
        ("A rocket", r"`prompts` is a list of at least one prompt and was 'A rocket'"),
        (["A rocket", " "], r"Prompt 1 of `prompts` is blank"),
        (["A rocket", "A rocket"], r"`prompts` has a prompt twice.*`samples_per_prompt` gives more"),
    ],
)
def test_prompts_that_ask_for_nothing_or_twice_are_errors(prompts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StyleReferences(prompts=prompts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("generation_batch_size", 0),
        ("samples_per_prompt", 0),
        ("evaluation_references", 0),
        ("predict_references", 0),
        ("references_per_picture", 0),
        ("num_workers", -1),
    ],
)
def test_numbers_that_are_too_small_are_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"`{name}` is a number from {value + 1} up and was {value}"):
        StyleReferences(**{name: value})


def test_the_command_line_reads_and_explains_every_argument() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(StyleReferences, "data")
    settings = parser.parse_args(["--data.prompts=[A cat, A dog]", "--data.seed=3"])
    references = parser.instantiate_classes(settings).data
    assert (references.prompts, references.seed, references.batch_size) == (["A cat", "A dog"], 3, 8)
    described = " ".join(parser.format_help().split())
    assert "What is drawn in the style of each reference." in described
    assert "Processes that open images" in described
