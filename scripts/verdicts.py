"""What a judge says of pictures that were drawn just now."""

from collections.abc import Sequence
from math import isnan

from PIL import Image

from callbacks.scoring.judge import COLUMNS, Judge
from datamodules.batches import Job, Prediction
from lightning_modules.outputs import Predicted


def judged(
    judge: Judge, images: Sequence[Image.Image], jobs: Sequence[Job], references: Sequence[Image.Image]
) -> list[dict[str, float]]:
    """Tag -> score of each picture, as `maskst test` scores it; what the judge says nothing about is left out.

    Args:
        judge: who scores.
        images: the pictures, at least 0, RGB.
        jobs: what each was drawn for.
        references: reference image of each, RGB.
    """
    if not images:
        return []
    predictions = [
        Prediction("", "", job.reference.key, "", job.reference.word, "", job.prompt, job.sample, job.seed, None, {})
        for job in jobs
    ]
    verdict = judge.verdict(Predicted(list(images), predictions, list(references)), [])
    rows = verdict.table().tolist()
    return [{tag: value for tag, value in zip(COLUMNS, row, strict=True) if not isnan(value)} for row in rows]
