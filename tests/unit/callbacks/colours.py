"""A module that "generates" plain colours, the data that asks for them, and a judge that looks at nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import DataLoader

from callbacks.scoring.clip_judge import ClipJudge
from datamodules.batches import Job, JobBatch, Reference
from datamodules.prediction_folders import finished_pictures
from lightning_modules.outputs import Generations

CONTENTS = ["airplane", "dog", "frog"]
PROMPTS = ["A bench", "A rocket"]


def make_jobs(references: int = 4, prompts: Sequence[str] = PROMPTS, samples: int = 1) -> list[Job]:
    """Every reference x prompt x sample."""
    return [
        Job(Reference(r, f"k/{r}", CONTENTS[r % 3], "lego toy", f"{r}"), prompt, s, 42 + s)
        for r in range(references)
        for prompt in prompts
        for s in range(samples)
    ]


def colour_of(job: Job) -> Tensor:
    """The "picture" of a job: 8 x 8 pixels of one colour, in whole 255ths."""
    code = torch.tensor([31 * job.reference.index, 50 * len(job.prompt), 90 * job.sample]) % 256
    return (code / 255)[:, None, None].expand(3, 8, 8)


def generate(jobs: Sequence[Job], mask: bool = True) -> Generations:
    """Generations of `jobs`; the share masked is a tenth of the reference's index."""
    if not jobs:
        return Generations.nothing()
    return Generations(
        images=torch.stack([colour_of(job) for job in jobs]),
        jobs=list(jobs),
        references=[Image.new("RGB", (16, 8), (40 * job.reference.index, 10, 200)) for job in jobs],
        share_masked=torch.tensor([job.reference.index / 10 for job in jobs]) if mask else None,
    )


class ColourJudge(ClipJudge):
    """Features of four numbers: a picture's mean colour and one; a text's from its letters."""

    def image_features(self, images: Tensor | Sequence[Image.Image]) -> Tensor:
        if not isinstance(images, Tensor):
            images = torch.stack([torch.tensor(im.getpixel((0, 0)))[:, None, None] / 255 for im in images])
        return normalize(torch.cat([images.mean((2, 3)), torch.ones(len(images), 1)], 1), dim=-1)

    reference_features = image_features

    def text_features(self, texts: Sequence[str]) -> Tensor:
        rows = [[text.count(letter) + 0.1 for letter in "aeor"] for text in texts]
        return normalize(torch.tensor(rows), dim=-1)


class Colours(LightningModule):
    """A module whose evaluation steps return generations."""

    def __init__(self, name: str = "masking", fail_at: int | None = None, **settings: Any) -> None:
        super().__init__()
        self.name, self.settings, self.fail_at = name, {"sampling": {"steps": 3}, **settings}, fail_at
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.generated: list[Job] = []
        self.spoilt: list[int] = []
        """Indices of the references whose pictures are not finite."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def predict_step(self, batch: JobBatch, batch_idx: int) -> Generations:
        if batch_idx == self.fail_at:
            raise KeyboardInterrupt
        self.generated += batch["jobs"]
        generations = generate(batch["jobs"])
        generations.contents, generations.finished = batch["contents"], batch["finished"]
        for place, job in enumerate(batch["jobs"]):
            if job.reference.index in self.spoilt:
                generations.images[place, 0, 0, 0] = torch.nan
        return generations.without_spoilt()

    validation_step = test_step = predict_step


class JobData(LightningDataModule):
    """Three jobs a batch, without those whose pictures lie in a folder."""

    def __init__(self, jobs: list[Job], finished_in: Path | None = None) -> None:
        super().__init__()
        self.jobs, self.finished_in = jobs, finished_in

    def train_dataloader(self) -> Any:
        return loader([{"references": [0, 1]}] * 4)

    def val_dataloader(self) -> Any:
        return job_loader(self.jobs)

    test_dataloader = val_dataloader

    def predict_dataloader(self) -> Any:
        finished = {*finished_pictures(self.finished_in)} if self.finished_in else set()
        missing = [job for job in self.jobs if job.identity not in finished]
        return job_loader(missing, len(self.jobs) - len(missing))


def job_loader(jobs: list[Job], finished: int = 0) -> DataLoader[Any]:
    """Three jobs a batch, at least one batch; what is finished is told in the first."""
    parts = [jobs[i : i + 3] for i in range(0, len(jobs), 3)] or [[]]
    contents = ["An airplane", "A dog", "A frog"]
    batches = [JobBatch(jobs=part, images={}, contents=contents, finished=0) for part in parts]
    batches[0]["finished"] = finished
    return loader(batches)


def loader(batches: list[Any]) -> DataLoader[Any]:
    """The batches as they are."""
    return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]
