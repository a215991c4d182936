"""Which pictures are generated: a balanced choice of references, times prompts, times samples."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import lcm
from typing import Any

from datamodules.batches import Job, Reference, digest_of

STYLES_IN_ERROR = 20


def spread(references: Sequence[Reference], count: int | None) -> list[Reference]:
    """At most `count` references that cover all contents and all styles about evenly; None takes all.

    The choice walks the grid of contents x styles along its diagonals, first with the first reference of each
    cell, then with the second, and so on. It depends on the references alone, never on a random state.
    """
    if count is None:
        return list(references)
    contents, styles = sorted({r.content for r in references}), sorted({r.style for r in references})
    period = lcm(len(contents), len(styles))
    step_of_cell = {
        (contents[k % len(contents)], styles[(k + k // period) % len(styles)]): k
        for k in range(len(contents) * len(styles))
    }
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for position, reference in enumerate(references):
        cell = reference.content, reference.style
        turns.append((seen[cell], step_of_cell[cell], position))
        seen[cell] += 1
    return [references[position] for *_, position in sorted(turns)[:count]]


def same_style(references: Sequence[Reference], count: int) -> dict[str, tuple[Reference, ...]]:
    """For the key of each reference, `count` others of its style.

    They show the other contents of that style in turn, and its own content only once those are used up. The
    first of them come after the reference's own place in content and number, so that over a whole style each
    is taken about equally often. The choice depends on the references alone.

    Raises:
        ValueError: If a style has too few references.
    """
    styles: dict[str, dict[str, list[Reference]]] = {}
    for reference in references:
        styles.setdefault(reference.style, {}).setdefault(reference.content, []).append(reference)
    _check_sizes({style: sum(map(len, contents.values())) for style, contents in styles.items()}, count)
    return {r.key: others for contents in styles.values() for r, others in _others_of_style(contents, count)}


def list_jobs(
    references: Iterable[Reference],
    prompts: Sequence[str],
    samples_per_prompt: int,
    seed: int,
    others: Mapping[str, tuple[Reference, ...]] | None = None,
    negatives: tuple[Reference, ...] = (),
    content_images: Sequence[Reference] = (),
    shared_noise: bool = False,
) -> list[Job]:
    """Every reference x prompt x sample, reference by reference, so that a batch opens few images.

    With content images it is every reference x content image x sample. References that are the same but for their
    names make one picture.

    Args:
        references: The main reference of each picture.
        prompts: What is drawn; not looked at with content images, whose contents are the prompts.
        samples_per_prompt: Pictures for each reference and prompt.
        seed: What the seed of each picture is made of.
        others: Further references for the key of each main one; None gives none.
        negatives: The negative references of every picture.
        content_images: Images whose layout the pictures keep.
        shared_noise: Sample i of every reference and prompt has `seed` + i, in place of a seed of its own.
    """
    drawn: list[tuple[str, Reference | None]] = [(image.content, image) for image in content_images]
    jobs = [
        Job(
            reference,
            prompt,
            sample,
            seed + sample if shared_noise else picture_seed(seed, reference, prompt, sample, content_image),
            others[reference.key] if others else (),
            negatives,
            content_image,
        )
        for reference in references
        for prompt, content_image in drawn or [(prompt, None) for prompt in prompts]
        for sample in range(samples_per_prompt)
    ]
    unique: dict[tuple[Any, ...], Job] = {}
    for job in jobs:
        unique.setdefault(job.identity, job)
    return list(unique.values())


def picture_seed(seed: int, reference: Reference, prompt: str, sample: int, content_image: Reference | None) -> int:
    """The seed, 0 .. 2**32 - 1, of one picture's initial noise: the same for every method and wherever files lie."""
    told = [seed, reference.digest, prompt, sample, content_image and content_image.digest]
    return int(digest_of(json.dumps(told).encode())[:8], 16)


def _others_of_style(
    contents: dict[str, list[Reference]], count: int
) -> Iterator[tuple[Reference, tuple[Reference, ...]]]:
    """Each reference of one style with its `count` others; `contents` has the style's references by content."""
    places = [(place, rank, r) for place, name in enumerate(sorted(contents)) for rank, r in enumerate(contents[name])]
    for place, rank, reference in places:
        turns = []
        for other_place, other_rank, other in places:
            steps = (other_place - place) % len(contents)
            turn = (other_rank - rank) % len(contents[other.content])
            if other is not reference:
                turns.append((steps == 0, turn, steps, other))
        yield reference, tuple(other for *_, other in sorted(turns)[:count])


def _check_sizes(sizes: dict[str, int], count: int) -> None:
    few = {style: size for style, size in sizes.items() if size <= count}
    if few:
        styles = ", ".join(f"{style!r} ({size})" for style, size in list(few.items())[:STYLES_IN_ERROR])
        more = f" and {len(few) - STYLES_IN_ERROR} more styles" if len(few) > STYLES_IN_ERROR else ""
        raise ValueError(
            f"`references_per_picture` is {count + 1}, but fewer test references are of the style {styles}{more}. "
            f"Set it to {min(few.values())} or less, or give each style as many readable images."
        )
