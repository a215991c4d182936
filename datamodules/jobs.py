"""Which pictures are generated: a balanced choice of references, times prompts, times samples."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import lcm

from datamodules.batches import Job, Reference


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


def list_jobs(references: Iterable[Reference], prompts: Sequence[str], samples_per_prompt: int, seed: int) -> list[Job]:
    """Every reference x prompt x sample, reference by reference, so that a batch opens few images."""
    return [
        Job(reference, prompt, sample, seed + sample)
        for reference in references
        for prompt in prompts
        for sample in range(samples_per_prompt)
    ]
