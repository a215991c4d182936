"""Batches of jobs with images drawn from noise, for tests that generate."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from datamodules.batches import Job, JobBatch, Reference


def job_batch(rows: Sequence[tuple[int, str, int]]) -> JobBatch:
    """Jobs of (reference, prompt, sample)."""
    jobs, images = [], {}
    for number, prompt, drawn in rows:
        content = ("dog", "frog", "ship")[number % 3]
        reference = Reference(number, f"{content}/{content}/a_{number}", content, "toy", f"digest {number}")
        jobs.append(Job(reference, prompt, drawn, seed=42 + drawn))
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        images[reference.key] = Image.fromarray(pixels)
    return {"jobs": jobs, "images": images, "contents": [], "finished": 0}
