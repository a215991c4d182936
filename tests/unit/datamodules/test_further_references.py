"""Several references a picture, and references that all pictures are steered away from."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.batches import Job, Reference, digest_of
from datamodules.jobs import same_style
from datamodules.style_references import StyleReferences
from tests.unit.datamodules.folders import spoil, write_folder, write_image


def style(name: str, **counts: int) -> list[Reference]:
    """`counts` references of each content in one style."""
    names = [(content, number) for content, count in counts.items() for number in range(count)]
    return [
        Reference(i, f"{content}/{name}_{number}", content, name, f"{i}") for i, (content, number) in enumerate(names)
    ]


@pytest.mark.parametrize("count", range(1, 12))
def test_others_are_of_the_same_style_and_show_the_other_contents_evenly(count: int) -> None:
    one, two = style("statue", bird=4, cat=4, dog=4), style("tattoo", bird=4, cat=4, dog=4)
    for reference, others in zip(one, list(same_style(one + two, count).values())[:12], strict=True):
        assert len(set(others)) == count
        assert {other.style for other in others} == {"statue"}
        assert reference not in others
        contents = Counter(other.content for other in others)
        own = contents.pop(reference.content, 0)
        assert own == max(0, count - 8)
        assert max(contents.values()) - min(contents.values()) <= 1
        assert len(contents) == min(count, 2)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 11])
def test_over_a_style_each_reference_is_taken_equally_often(count: int) -> None:
    for references in (style("statue", bird=4, cat=4, dog=4), style("statue", thing=12)):
        taken = Counter(other for others in same_style(references, count).values() for other in others)
        assert set(taken.values()) == {count}
        assert len(taken) == 12


def test_the_order_of_the_others_starts_behind_the_references_own_place() -> None:
    references = style("statue", bird=2, cat=2, dog=2)
    others = same_style(references, 5)["cat/statue_1"]
    names = ["dog/statue_1", "bird/statue_1", "dog/statue_0", "bird/statue_0", "cat/statue_0"]
    assert [other.key for other in others] == names


def test_uneven_contents_give_what_they_have() -> None:
    references = style("statue", bird=1, cat=3)
    found = {key: [other.key for other in others] for key, others in same_style(references, 2).items()}
    assert found["bird/statue_0"] == ["cat/statue_0", "cat/statue_1"]
    assert found["cat/statue_2"] == ["bird/statue_0", "cat/statue_0"]


def test_the_others_are_the_same_whatever_the_random_state() -> None:
    references = style("statue", bird=3, cat=3)
    random.seed(0)
    first = same_style(references, 3)
    random.seed(1)
    assert same_style(references, 3) == first


def test_a_style_with_too_few_references_is_named_with_the_way_out() -> None:
    references = style("statue", bird=3) + style("tattoo", bird=2) + style("pop art", cat=1, dog=1)
    with pytest.raises(ValueError, match="`references_per_picture` is 3") as error:
        same_style(references, 2)
    assert str(error.value) == (
        "`references_per_picture` is 3, but fewer test references are of the style 'tattoo' (2), 'pop art' (2). "
        "Set it to 2 or less, or give each style as many readable images."
    )


def test_a_long_list_of_styles_with_too_few_references_is_cut_short() -> None:
    with pytest.raises(ValueError, match=r"'style 19' \(1\) and 2 more styles\. Set it to 1 or less"):
        same_style([reference for i in range(22) for reference in style(f"style {i}", cat=1)], 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("set"), ("bird", "cat", "dog"), ("statue", "tattoo"), per_style=2))


def make(root: str, **settings: Any) -> StyleReferences:
    return StyleReferences(root, root, prompts=["A rocket"], **settings)


def jobs_of(loader: Any) -> list[Job]:
    return [job for batch in loader for job in batch["jobs"]]


def test_a_job_has_one_reference_and_no_others_by_default(root: str) -> None:
    for job in jobs_of(make(root).predict_dataloader()):
        assert (job.others, job.negatives) == ((), ())


def test_each_job_has_further_references_that_depend_on_the_test_set_alone(root: str) -> None:
    every = {job.reference: job for job in jobs_of(make(root, references_per_picture=3).predict_dataloader())}
    assert len(every) == 12
    assert all(len({other.content for other in job.others} - {job.reference.content}) == 2 for job in every.values())
    few = make(root, references_per_picture=3, predict_references=2, evaluation_references=5, generation_batch_size=2)
    for loader, count in ((few.predict_dataloader(), 2), (few.val_dataloader(), 5)):
        jobs = jobs_of(loader)
        assert len(jobs) == count
        assert all(job.others == every[job.reference].others for job in jobs)


def test_all_jobs_carry_the_negatives_and_the_batch_their_images(root: str, tmp_path: Path) -> None:
    file = str(write_image(tmp_path / "grey.png", (77, 77, 77)))
    digest = digest_of(Path(file).read_bytes())
    references = make(root, negative_references=[file], references_per_picture=2, generation_batch_size=3)
    for loader in (references.predict_dataloader(), references.test_dataloader()):
        for batch in loader:
            assert all(
                job.negatives == (Reference(-1, f"negative:{file}", "", "negative", digest),) for job in batch["jobs"]
            )
            assert set(batch["images"]) == {r.key for job in batch["jobs"] for r in job.all_references}
            assert batch["images"][f"negative:{file}"].getpixel((0, 0)) == (77, 77, 77)


def test_faults_are_named_before_a_model_is_loaded(root: str, tmp_path: Path) -> None:
    cut = str(spoil(write_image(tmp_path / "cut.png")))
    with pytest.raises(ValueError, match="`references_per_picture` is 7, but .*'statue' .6., 'tattoo' .6."):
        make(root, references_per_picture=7).setup("predict")
    with pytest.raises(FileNotFoundError, match=r"There is no file `no.png`.*`negative_references`"):
        make(root, negative_references=["no.png"]).setup("validate")
    with pytest.raises(ValueError, match=r"The negative reference `.*cut.png` cannot be read: .*leave it out"):
        make(root, negative_references=[cut]).setup("test")
    make(root, references_per_picture=7, negative_references=["no.png"]).setup("fit")


def test_a_negative_reference_is_given_in_a_list_and_once() -> None:
    with pytest.raises(ValueError, match=r"is a list of image files and was 'a.png'. Give \['a.png'\]"):
        StyleReferences(negative_references="a.png")
    with pytest.raises(ValueError, match=r"`negative_references` has a file twice: \['a.png', './a.png'\]. Name it"):
        StyleReferences(negative_references=["a.png", "./a.png"])


def test_the_command_line_takes_the_new_arguments() -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(StyleReferences, "data")
    arguments = ["--data.references_per_picture=4", "--data.negative_references=[a.png, b.png]"]
    references = parser.instantiate_classes(parser.parse_args(arguments)).data
    assert (references.references_per_picture, references.negative_references) == (4, ["a.png", "b.png"])
