import random
from collections import Counter
from contextlib import nullcontext

import pytest

from datamodules.batches import GREATEST_SEED, Job, Reference, check_seed
from datamodules.jobs import list_jobs, spread
from datamodules.vocabulary import CONTENTS, TEST_STYLES


def grid(n_contents: int, n_styles: int, per_cell: int) -> list[Reference]:
    names = [
        (f"content {c:02}", f"style {s:02}", i)
        for c in range(n_contents)
        for s in range(n_styles)
        for i in range(per_cell)
    ]
    return [Reference(index, f"{c}/{s}_{i}", c, s, f"{index}") for index, (c, s, i) in enumerate(names)]


def spans(counts: Counter[str]) -> int:
    return max(counts.values()) - min(counts.values())


@pytest.mark.parametrize("shape", [(10, 10, 8), (10, 20, 1), (3, 7, 2), (4, 6, 3), (1, 5, 4), (6, 4, 5)])
@pytest.mark.parametrize("count", [1, 5, 12, 24, 31])
def test_the_choice_is_balanced_over_contents_and_over_styles(shape: tuple[int, int, int], count: int) -> None:
    chosen = spread(grid(*shape), count)
    assert len(set(chosen)) == len(chosen) == min(count, shape[0] * shape[1] * shape[2])
    contents, styles = Counter(r.content for r in chosen), Counter(r.style for r in chosen)
    assert len(contents) == min(count, shape[0])
    assert len(styles) == min(count, shape[1])
    assert spans(contents) <= 1
    assert spans(styles) <= 1


def test_the_published_grid_of_24_covers_ten_contents_and_ten_styles() -> None:
    names = [(c, s) for c in sorted(CONTENTS) for s in sorted(TEST_STYLES)]
    references = [Reference(i, f"{c}/{s}", c, s, f"{i}") for i, (c, s) in enumerate(names)]
    chosen = spread(references, 24)
    assert sorted(Counter(r.content for r in chosen).values()) == [2] * 6 + [3] * 4
    assert sorted(Counter(r.style for r in chosen).values()) == [2] * 6 + [3] * 4
    assert [(r.content, r.style) for r in chosen[:2]] == [("airplane", "lego toy"), ("automobile", "line art")]
    assert [(r.content, r.style) for r in chosen[10:12]] == [("airplane", "line art"), ("automobile", "pop art")]


def test_no_cell_is_taken_twice_before_all_are_taken_once() -> None:
    cells = Counter((r.content, r.style) for r in spread(grid(4, 6, 3), 30))
    assert len(cells) == 24
    assert sorted(cells.values()) == [1] * 18 + [2] * 6


def test_missing_cells_are_stepped_over() -> None:
    references = [r for r in grid(3, 3, 1) if (r.content, r.style) != ("content 00", "style 00")]
    assert len(spread(references, 8)) == 8
    assert spread(references, 1) == [references[3]]


def test_the_choice_is_the_same_whatever_the_random_state() -> None:
    random.seed(0)
    first = spread(grid(5, 4, 3), 7)
    random.seed(1)
    assert spread(grid(5, 4, 3), 7) == first


def test_no_count_takes_all_in_their_order() -> None:
    references = grid(2, 3, 2)
    assert spread(references, None) == references


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


def test_jobs_are_references_times_prompts_times_samples_with_their_seeds() -> None:
    one, two = grid(1, 2, 1)
    assert list_jobs([one, two], ["A rocket", "A bench"], samples_per_prompt=2, seed=42, shared_noise=True) == [
        Job(reference, prompt, sample, seed)
        for reference in (one, two)
        for prompt in ("A rocket", "A bench")
        for sample, seed in ((0, 42), (1, 43))
    ]
