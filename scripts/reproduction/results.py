"""What the stages wrote about their pictures, read back as evaluations with intervals."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

TUNING_FREE = ("ip_adapter", "instantstyle", "masking")
ADAPTERS = ("image_adapter", "text_adapter")
TEXT, IMAGE, LEAKED = "alignment/text", "alignment/image", "leakage/leaked"
LEAKED_AMONG_ALL, MASKED = "leakage/leaked_among_all", "mask/share_masked"
RATES = (LEAKED, LEAKED_AMONG_ALL, MASKED)  # shares of pictures or elements; all else are cosines


class Score(NamedTuple):
    """Mean over all pictures, its 95 % bootstrap interval over references, and the mean of each reference."""

    mean: float
    low: float
    high: float
    by_reference: tuple[float, ...]


class Evaluation(NamedTuple):
    """The scores of one method at one training step; tuning-free methods are at step 0."""

    method: str
    step: int
    judge: str
    references: tuple[int, ...]  # indices in the test set, ascending
    images_by_reference: tuple[int, ...]
    scores: dict[str, Score]  # by tag
    settings: dict[str, Any]  # what decided the pictures

    @property
    def images(self) -> int:
        """Number of pictures that were scored."""
        return sum(self.images_by_reference)


class Results(NamedTuple):
    """Everything that the figure shows."""

    tuning_free: dict[str, Evaluation]  # by method
    curves: dict[str, list[Evaluation]]  # by adapter, in the order of the steps

    @property
    def all(self) -> list[Evaluation]:
        """All evaluations, the tuning-free ones first."""
        return [*self.tuning_free.values(), *(each for curve in self.curves.values() for each in curve)]


def read_results(log_dirs: dict[str, Path]) -> Results:
    """Read `alignment.jsonl` in the log folder of each method.

    Raises:
        ValueError: a method has no evaluation, or two methods were scored on other references or by other judges.
    """
    found = {method: _read(folder / "alignment.jsonl", method) for method, folder in log_dirs.items()}
    results = Results(
        tuning_free={method: found[method][0] for method in TUNING_FREE},
        curves={method: found[method] for method in ADAPTERS},
    )
    _check_comparable(results.all)
    return results


def evaluation(line: dict[str, Any]) -> Evaluation:
    """One line of `alignment.jsonl`."""
    scores = {
        tag: Score(mean, low, high, tuple(line["means_by_reference"][tag]))
        for tag, mean in line["scores"].items()
        for low, high in [line["intervals"][tag]]
    }
    return Evaluation(
        line["method"],
        line["step"],
        line["judge"],
        tuple(line["references"]),
        tuple(line["images_by_reference"]),
        scores,
        line["settings"],
    )


def _read(path: Path, method: str) -> list[Evaluation]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    evaluations = [evaluation(line) for line in lines if line["method"] == method]
    if not evaluations:
        raise ValueError(
            f"`{path}` holds no evaluation of {method}: expected a line that AlignmentScores wrote. "
            f"Remove the folder `{path.parent}` and start again to have that stage repeated."
        )
    return sorted(evaluations, key=lambda each: each.step)


def _check_comparable(evaluations: Iterable[Evaluation]) -> None:
    first, *others = evaluations
    for other in others:
        for name in ("judge", "references", "images_by_reference"):
            mine, theirs = getattr(first, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(
                    f"`{name}` differs between {first.method} ({mine}) and {other.method} at step {other.step} "
                    f"({theirs}): such scores cannot be compared. Start again in a new `--output` folder."
                )
