"""Which pictures are generated: a balanced choice of references, times prompts, times samples."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import lcm
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from datamodules.batches import Job, JobBatch, Reference, digest_of
from datamodules.images import SUFFIXES, ImageFile, images_in
from datamodules.reading import listed
from datamodules.references import Entry, ReferenceSet


def spread(references: Sequence[Reference], count: int | None) -> list[Reference]:
    """At most `count` references that cover all contents and all styles about evenly; None takes all.

    The choice walks the grid of contents x styles along its diagonals, first with the first reference of each
    cell, then with the second, and so on. It depends on the references alone, never on a random state.
    """
    if count is None:
        return list(references)
    contents, styles = sorted({r.content for r in references}), sorted({r.style for r in references})
    period = lcm(len(contents), len(styles))
    diagonals = [(k % len(contents), (k + k // period) % len(styles)) for k in range(len(contents) * len(styles))]
    step_of_cell = {(contents[row], styles[column]): k for k, (row, column) in enumerate(diagonals)}
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
    styles: defaultdict[str, defaultdict[str, list[Reference]]] = defaultdict(lambda: defaultdict(list))
    for reference in references:
        styles[reference.style][reference.content].append(reference)
    sizes = {style: sum(map(len, contents.values())) for style, contents in styles.items()}
    if few := {style: size for style, size in sizes.items() if size <= count}:
        named = listed((f"{style!r} ({size})" for style, size in few.items()), between=", ")
        raise ValueError(
            f"`references_per_picture` is {count + 1}, but fewer test references are of the style {named}. "
            f"Set it to {min(few.values())} or less, or give each style as many readable images."
        )
    return {key: others for contents in styles.values() for key, others in _others_of_style(contents, count)}


def _others_of_style(contents: dict[str, list[Reference]], count: int) -> Iterator[tuple[str, tuple[Reference, ...]]]:
    """The key of each reference of one style with its `count` others; `contents` has the references by content."""
    places = [(place, rank, r) for place, name in enumerate(sorted(contents)) for rank, r in enumerate(contents[name])]
    for place, rank, reference in places:
        turns = []
        for other_place, other_rank, other in places:
            steps = (other_place - place) % len(contents)
            turn = (other_rank - rank) % len(contents[other.content])
            if other is not reference:
                turns.append((steps == 0, turn, steps, other))
        yield reference.key, tuple(other for *_, other in sorted(turns)[:count])


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

    With content images it is every reference x content image x sample, and their contents are the prompts. References
    that are the same but for their names make one picture. `others` has further references for the key of each main
    one. The seed of each picture is made of `seed`; with `shared_noise` sample i of every reference and prompt has
    `seed` + i.
    """
    drawn: list[tuple[str, Reference | None]] = [(image.content, image) for image in content_images]
    unique: dict[tuple[Any, ...], Job] = {}
    for reference, (prompt, image), sample in product(
        references, drawn or [(prompt, None) for prompt in prompts], range(samples_per_prompt)
    ):
        noise = seed + sample if shared_noise else picture_seed(seed, reference, prompt, sample, image)
        further = others[reference.key] if others else ()
        job = Job(reference, prompt, sample, noise, further, negatives, image)
        unique.setdefault(job.identity, job)
    return list(unique.values())


def picture_seed(seed: int, reference: Reference, prompt: str, sample: int, content_image: Reference | None) -> int:
    """The seed, 0 .. 2**32 - 1, of one picture's initial noise: the same for every method and wherever files lie."""
    told = [seed, reference.digest, prompt, sample, content_image and content_image.digest]
    return int(digest_of(json.dumps(told).encode())[:8], 16)


def negative_references(files: Sequence[str]) -> dict[Reference, ImageFile]:
    """Images that pictures are steered away from: reference -1 - i for file i.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it cannot be read.
    """
    way_out = "Correct its path in `negative_references`, or leave it out."
    found = {}
    for number, file in enumerate((ImageFile(Path(path)) for path in files), start=1):
        if not file.path.is_file():
            raise FileNotFoundError(f"There is no file `{file.path}`, a negative reference. {way_out}")
        try:
            digest = file.open()[1]
        except ValueError as error:
            raise ValueError(f"The negative reference `{file.path}` cannot be read: {error}. {way_out}") from error
        key = f"negative:{file.path.as_posix()}"  # like no path below a root
        found[Reference(-number, key, "", "negative", digest)] = file
    return found


def read_content_images(root: str | Path) -> ReferenceSet:
    """The images `<root>/<prompt>.<suffix>`, whose layout pictures keep, in the order of their names.

    The key of each is "content:" and its name without suffix, its content is the prompt, its style is "".

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If a name says no prompt, or an image is too small or too long.
    """
    root = Path(root)
    expected = "Expected images named by their prompts, `<prompt>.<suffix>`, such as `A rocket.png` or `A_rocket.jpg`"
    if not root.is_dir():
        raise FileNotFoundError(f"`content_images`: there is no folder `{root}`. {expected}.")
    paths = images_in(root)
    if not paths:
        where = f"directly in that folder, with one of the suffixes {', '.join(SUFFIXES)}"
        raise FileNotFoundError(f"`content_images`: the folder `{root}` holds no image. {expected}, {where}.")
    if nameless := [path.name for path in paths if not any(map(str.isalpha, path.stem))]:
        raise ValueError(
            f"`content_images`: {len(nameless)} of {len(paths)} file names in `{root}` say no prompt: "
            f"{listed(map(repr, nameless), between=', ')}. {expected}. Rename the files by what they show."
        )
    prompts = {path: " ".join(path.stem.replace("_", " ").split()) for path in paths}
    entries = [Entry(f"content:{path.stem}", prompt, "", ImageFile(path)) for path, prompt in prompts.items()]
    return ReferenceSet(root, entries, check_sizes=True)


@dataclass
class JobBatches(Dataset[JobBatch]):
    """Batches of jobs by their positions in the list; each image is opened once a batch.

    `files` has the image of each reference and content image. The batch of the positions `first` tells how many
    pictures are `finished`; None: another process does.
    """

    files: Mapping[Reference, ImageFile]
    jobs: Sequence[Job]
    contents: list[str] = field(default_factory=list)
    vocabulary: Sequence[str] = ()
    finished: int = 0
    first: list[int] | None = None

    def __getitem__(self, indices: list[int]) -> JobBatch:
        jobs, images, faults = [self.jobs[index] for index in indices], dict[str, Image.Image](), dict[str, str]()
        for reference in dict.fromkeys(reference for job in jobs for reference in job.all_images):
            try:
                images[reference.key] = self.files[reference].open(reference.digest)[0]
            except ValueError as error:
                faults[reference.key] = f"its image {reference.key!r} can no longer be read: {error}"
        failures = {job: faults[r.key] for job in jobs for r in job.all_images if r.key in faults}
        return {
            "jobs": [job for job in jobs if job not in failures],
            "images": images,
            "failures": failures,
            "contents": self.contents,
            "vocabulary": self.vocabulary,
            "finished": self.finished if indices == self.first else 0,
        }
