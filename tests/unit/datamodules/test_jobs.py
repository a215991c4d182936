"""Which pictures are generated: the choice of references, further ones of their style, and the seeds."""

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from datamodules.batches import GREATEST_SEED, Job, Reference, check_seed, digest_of
from datamodules.jobs import JobBatches, list_jobs, negative_references, same_style, spread
from datamodules.shards import open_references
from datamodules.style_references import StyleReferences
from datamodules.vocabulary import CONTENTS, TEST_STYLES
from tests.unit.datamodules.folders import jobs_of, spoil, write_folder, write_image


def grid(n_contents: int, n_styles: int, per_cell: int) -> list[Reference]:
    names = [
        (f"content {c:02}", f"style {s:02}", i)
        for c in range(n_contents)
        for s in range(n_styles)
        for i in range(per_cell)
    ]
    return [Reference(index, f"{c}/{s}_{i}", c, s, f"{index}") for index, (c, s, i) in enumerate(names)]


def style(name: str, **counts: int) -> list[Reference]:
    """`counts` references of each content in one style."""
    names = [(content, number) for content, count in counts.items() for number in range(count)]
    return [
        Reference(i, f"{content}/{name}_{number}", content, name, f"{i}") for i, (content, number) in enumerate(names)
    ]


def spans(counts: Counter[str]) -> int:
    return max(counts.values()) - min(counts.values())


@pytest.mark.parametrize("shape", [(10, 10, 8), (10, 20, 1), (3, 7, 2), (4, 6, 3), (1, 5, 4), (6, 4, 5)])
@pytest.mark.parametrize("count", [1, 5, 12, 24, 31])
def test_the_choice_is_balanced_over_contents_and_over_styles(shape: tuple[int, int, int], count: int) -> None:
    chosen = spread(grid(*shape), count)
    assert len(set(chosen)) == len(chosen) == min(count, shape[0] * shape[1] * shape[2])
    contents, styles = Counter(r.content for r in chosen), Counter(r.style for r in chosen)
    assert (len(contents), len(styles)) == (min(count, shape[0]), min(count, shape[1]))
    assert max(spans(contents), spans(styles)) <= 1


def test_the_published_grid_of_24_covers_ten_contents_and_ten_styles() -> None:
    names = [(c, s) for c in sorted(CONTENTS) for s in sorted(TEST_STYLES)]
    chosen = spread([Reference(i, f"{c}/{s}", c, s, f"{i}") for i, (c, s) in enumerate(names)], 24)
    assert sorted(Counter(r.content for r in chosen).values()) == [2] * 6 + [3] * 4
    assert sorted(Counter(r.style for r in chosen).values()) == [2] * 6 + [3] * 4
    assert [(r.content, r.style) for r in chosen[:2]] == [("airplane", "lego toy"), ("automobile", "line art")]
    assert [(r.content, r.style) for r in chosen[10:12]] == [("airplane", "line art"), ("automobile", "pop art")]


def test_no_cell_is_taken_twice_before_all_are_taken_once_and_missing_ones_are_stepped_over() -> None:
    cells = Counter((r.content, r.style) for r in spread(grid(4, 6, 3), 30))
    assert sorted(cells.values()) == [1] * 18 + [2] * 6
    references = [r for r in grid(3, 3, 1) if (r.content, r.style) != ("content 00", "style 00")]
    assert len(spread(references, 8)) == 8
    assert spread(references, 1) == [references[3]]
    assert spread(references, None) == references


@pytest.mark.parametrize("count", range(1, 12))
def test_others_are_of_the_same_style_and_show_the_other_contents_evenly(count: int) -> None:
    one, two = style("statue", bird=4, cat=4, dog=4), style("tattoo", bird=4, cat=4, dog=4)
    for reference, others in zip(one, list(same_style(one + two, count).values())[:12], strict=True):
        assert len(set(others) - {reference}) == count
        assert {other.style for other in others} == {"statue"}
        contents = Counter(other.content for other in others)
        assert contents.pop(reference.content, 0) == max(0, count - 8)
        assert spans(contents) <= 1
        assert len(contents) == min(count, 2)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 11])
def test_over_a_style_each_reference_is_taken_equally_often(count: int) -> None:
    for references in (style("statue", bird=4, cat=4, dog=4), style("statue", thing=12)):
        taken = Counter(other for others in same_style(references, count).values() for other in others)
        assert (set(taken.values()), len(taken)) == ({count}, 12)


def test_the_order_of_the_others_starts_behind_the_references_own_place() -> None:
    others = same_style(style("statue", bird=2, cat=2, dog=2), 5)["cat/statue_1"]
    names = ["dog/statue_1", "bird/statue_1", "dog/statue_0", "bird/statue_0", "cat/statue_0"]
    assert [other.key for other in others] == names
    uneven = same_style(style("statue", bird=1, cat=3), 2)
    found = {key: [other.key for other in others] for key, others in uneven.items()}
    assert found["bird/statue_0"] == ["cat/statue_0", "cat/statue_1"]
    assert found["cat/statue_2"] == ["bird/statue_0", "cat/statue_0"]


def test_styles_with_too_few_references_are_named_with_the_way_out() -> None:
    references = style("statue", bird=3) + style("tattoo", bird=2) + style("pop art", cat=1, dog=1)
    with pytest.raises(ValueError, match="`references_per_picture` is 3") as error:
        same_style(references, 2)
    assert str(error.value) == (
        "`references_per_picture` is 3, but fewer test references are of the style 'tattoo' (2), 'pop art' (2). "
        "Set it to 2 or less, or give each style as many readable images."
    )
    with pytest.raises(ValueError, match=r"'style 19' \(1\) and 2 more\. Set it to 1 or less"):
        same_style([reference for i in range(22) for reference in style(f"style {i}", cat=1)], 1)


def test_each_reference_prompt_and_sample_has_a_noise_of_its_own() -> None:
    references = grid(2, 3, 2)
    jobs = list_jobs(references, ["A rocket", "A bench"], 4, seed=42)
    assert len({job.seed for job in jobs}) == len(jobs) == 96
    assert all(0 <= job.seed <= GREATEST_SEED for job in jobs)
    assert {job.seed for job in list_jobs(references, ["A rocket"], 4, seed=43)}.isdisjoint(job.seed for job in jobs)
    # Whatever else is drawn, and wherever the reference lies.
    moved = references[5]._replace(index=0, key="elsewhere")
    [alone] = list_jobs([moved], ["A bench"], 1, seed=42)
    assert alone.seed in [job.seed for job in jobs if (job.reference, job.prompt) == (references[5], "A bench")][:1]
    [other_content] = list_jobs([moved._replace(digest="other")], ["A bench"], 1, seed=42)
    assert other_content.seed != alone.seed


def test_the_seed_of_a_picture_never_changes() -> None:
    assert [job.seed for job in list_jobs(grid(1, 1, 1), ["A rocket"], 2, seed=42)] == [2457702665, 3299349806]


def test_references_that_are_the_same_but_for_their_names_make_one_picture() -> None:
    one, other = grid(1, 1, 2)
    twin, labelled = one._replace(index=2, key="copy"), one._replace(index=3, style="another")
    jobs = list_jobs([one, other, twin, labelled], ["A rocket"], 1, seed=42)
    assert [job.reference for job in jobs] == [one, other, labelled]


@pytest.mark.parametrize(
    ("seed", "further", "fine"),
    [(0, 0, 1), (2**32 - 1, 0, 1), (2**32 - 1, 1, 0), (-1, 0, 0), (2**32, 0, 0), (2**63, 0, 0)],
)
def test_seeds_that_would_not_tell_noises_apart_are_refused(seed: int, further: int, fine: int) -> None:
    with nullcontext() if fine else pytest.raises(ValueError, match=rf"`seed` is a number from 0 to .* and was {seed}"):
        check_seed(seed, further)


def test_jobs_are_references_times_prompts_or_content_images_times_samples_with_their_seeds() -> None:
    references, prompts = grid(1, 2, 1), ["A rocket", "A bench"]
    contents = [Reference(i, f"content:{prompt}", prompt, "", f"c{i}") for i, prompt in enumerate(prompts)]
    for images in ([], contents):
        jobs = list_jobs(references, [] if images else prompts, 2, 42, content_images=images, shared_noise=True)
        assert jobs == [
            Job(reference, prompt, sample, seed, content_image=image)
            for reference in references
            for prompt, image in zip(prompts, images or [None, None], strict=True)
            for sample, seed in ((0, 42), (1, 43))
        ]
        assert all(job.content_image not in job.all_references for job in jobs)


def test_negative_references_are_told_apart_from_those_of_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "bad" / "smooth.jpg")
    write_image(tmp_path / "grey.png")
    assert [reference[:4] for reference in negative_references(["./bad//smooth.jpg", "grey.png"])] == [
        (-1, "negative:bad/smooth.jpg", "", "negative"),
        (-2, "negative:grey.png", "", "negative"),
    ]
    assert negative_references([]) == {}


def test_pictures_of_images_that_are_gone_or_replaced_are_failures(tmp_path: Path) -> None:
    references = open_references(write_folder(tmp_path, ("cat",), ("lego toy",), 3))
    jobs = [Job(reference, "A bench", 0, 1) for reference in references.references]
    gone, replaced, _ = (file.path for file in references.files.values())
    gone.unlink()
    write_image(replaced, (9, 9, 9))
    batch = JobBatches(references.files, jobs)[[0, 1, 2]]
    assert (batch["jobs"], list(batch["failures"])) == (jobs[2:], jobs[:2])
    told = list(batch["failures"].values())
    assert "lego toy_0' can no longer be read: No such file" in told[0]
    assert "lego toy_1' can no longer be read: it was replaced after the start" in told[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("set"), ("bird", "cat", "dog"), ("statue", "tattoo"), per_style=2))


def make(root: str, **settings: Any) -> StyleReferences:
    return StyleReferences(root, root, prompts=["A rocket"], **settings)


def test_each_job_has_further_references_that_depend_on_the_test_set_alone(root: str) -> None:
    assert all((job.others, job.negatives) == ((), ()) for job in jobs_of(make(root).predict_dataloader()))
    every = {job.reference: job for job in jobs_of(make(root, references_per_picture=3).predict_dataloader())}
    assert len(every) == 12
    assert all(len({other.content for other in job.others} - {job.reference.content}) == 2 for job in every.values())
    few = make(root, references_per_picture=3, predict_references=2, evaluation_references=5, generation_batch_size=2)
    for loader, count in ((few.predict_dataloader(), 2), (few.val_dataloader(), 5)):
        jobs = jobs_of(loader)
        assert len(jobs) == count
        assert all(job.others == every[job.reference].others for job in jobs)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_all_jobs_carry_the_negatives_and_the_batch_their_images(root: str, tmp_path: Path, num_workers: int) -> None:
    files = [str(write_image(tmp_path / name, (red, 0, 0))) for name, red in (("a.png", 91), ("b.PNG", 92))]
    references = make(
        root, negative_references=files, references_per_picture=2, generation_batch_size=3, num_workers=num_workers
    )
    expected = tuple(
        Reference(-1 - i, f"negative:{file}", "", "negative", digest_of(Path(file).read_bytes()))
        for i, file in enumerate(files)
    )
    for loader in (references.predict_dataloader(), references.test_dataloader()):
        for batch in loader:
            assert all(job.negatives == expected for job in batch["jobs"])
            colours = {r.key: r.index for job in batch["jobs"] for r in (job.reference, *job.others)}
            colours |= {f"negative:{files[0]}": 91, f"negative:{files[1]}": 92}
            assert {key: image.getpixel((0, 0))[0] for key, image in batch["images"].items()} == colours


def test_faults_are_named_before_a_model_is_loaded(root: str, tmp_path: Path) -> None:
    cut, empty = (str(spoil(write_image(tmp_path / name), keep)) for name, keep in (("cut.png", 0.5), ("no.png", 0)))
    with pytest.raises(ValueError, match="`references_per_picture` is 7, but .*'statue' .6., 'tattoo' .6."):
        make(root, references_per_picture=7).setup("predict")
    with pytest.raises(FileNotFoundError, match=r"There is no file `a.png`, a negative reference. Correct its path"):
        make(root, negative_references=["a.png"]).setup("validate")
    for file, why in ((cut, ".*"), (empty, "the file is empty")):
        with pytest.raises(ValueError, match=rf"The negative reference `.*.png` cannot be read: {why}. .*leave it out"):
            make(root, negative_references=[file]).setup("test")
    make(root, references_per_picture=7, negative_references=["no.png"]).setup("fit")


def test_a_negative_reference_is_given_in_a_list_and_once() -> None:
    with pytest.raises(ValueError, match=r"is a list of image files and was 'a.png'. Give \['a.png'\]"):
        StyleReferences(negative_references="a.png")
    with pytest.raises(ValueError, match=r"`negative_references` has a file twice: \['a.png', './a.png'\]. Name it"):
        StyleReferences(negative_references=["a.png", "./a.png"])
