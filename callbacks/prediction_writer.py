"""Writes predictions as they come, and lets a second run generate only what is missing."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from PIL import Image
from typing_extensions import override

from callbacks.files import slug, to_pil
from callbacks.own_folder import OwnFolder
from callbacks.prediction_folder import Picture, PredictionFolder, job_line, picture_name
from callbacks.ranks import listed, of_all_ranks, on_first_rank
from lightning_modules.outputs import GenerationModule, Generations, Job


class PredictionWriter(Callback):
    """Writes each generated picture as PNG with a line of JSON, and skips those that lie there already.

    Args:
        folder: where to; default `outputs/predict/<method>`. One folder holds one method with one setting.
        threads: PNG files written at a time, while the next batch is being generated.
    """

    def __init__(self, folder: str | None = None, threads: int = 4) -> None:
        super().__init__()
        if threads < 1:
            raise ValueError(f"`threads` must be at least 1, got {threads}: give 1 to write one file at a time.")
        self.folder, self.threads = folder, threads
        self._finished: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []
        self._skipped = 0
        self.own: OwnFolder | None = None
        self.written = 0
        self.failures: dict[str, str] = {}

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the folder, which is looked at when the weights, which belong to its settings, are loaded."""
        if stage != "predict":
            return
        self._module = cast(GenerationModule, pl_module)
        self._pending, self._skipped, self.written = [], 0, 0
        self.failures = {}
        self._folder = PredictionFolder(self.folder or Path("outputs", "predict", slug(self._module.name)))
        self.own = self.own or OwnFolder(self._folder.path, "folder")
        self.own.setup(trainer, pl_module, stage)

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder, which refuses other settings, and start the threads."""
        self._settings = {"name": self._module.name, **self._module.settings}
        # Rank 0 looks into the folder and tells the others, its error too: none waits for ever.
        self._finished = on_first_rank(trainer, lambda: self._folder.open(self._settings))
        rank_zero_info(
            f"`{self._folder.path}` holds {len(self._finished)} finished pictures; only missing ones are generated."
        )
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="png")

    @override
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand a batch to the threads, once the batch before is on disk; an error there stops the run."""
        assert self._pool is not None
        self._wait()
        self.failures |= {picture_name(job, self._module.name): why for job, why in outputs.failures.items()}
        self._skipped += outputs.finished
        for picture in self._pictures(outputs):
            self._pending.append(self._pool.submit(self._folder.write, picture, trainer.global_rank))

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the last pictures."""
        self._wait()
        self._stop()

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Finish and count what is being written; the next run goes on from there."""
        self._stop()
        with suppress(Exception):  # the first error is told
            self._wait()
        self._release()

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say how many pictures were written and skipped, and where they are."""
        if stage == "predict":
            counts = torch.tensor([self.written, self._skipped], device=trainer.strategy.root_device)
            written, skipped = trainer.strategy.reduce(counts, reduce_op="sum").tolist()
            self._release()
            others = len(self._finished) - skipped
            beside = f" {others} of other references, prompts or seeds lie beside them." if others else ""
            rank_zero_info(
                f"{written} pictures were written to `{self._folder.path}`; {skipped} lay there already.{beside}"
            )
            self.failures = of_all_ranks(self.failures)
            if self.failures:
                rank_zero_warn(f"{len(self.failures)} pictures could not be made:{listed(self.failures)}")

    def _pictures(self, generations: Generations) -> list[Picture]:
        """Those that are missing: without a datamodule that leaves finished ones out they come along."""
        jobs, masked = generations.jobs, generations.share_masked
        shares = [None] * len(jobs) if masked is None else masked.tolist()
        pictures = [
            self._picture(job, image, share)
            for job, image, share in zip(jobs, to_pil(generations.images), shares, strict=True)
        ]
        missing = [picture for picture in pictures if picture.name not in self._finished]
        self._skipped += len(pictures) - len(missing)
        return missing

    def _picture(self, job: Job, image: Image.Image, share_masked: float | None) -> Picture:
        method = self._module.name
        line = {**job_line(job), "share_masked": share_masked, "method": method, "settings": self._settings}
        return Picture(picture_name(job, method), image, line)

    def _wait(self) -> None:
        pending, self._pending = self._pending, []
        self.written += sum(future.exception() is None for future in pending)
        for future in pending:
            future.result()

    def _release(self) -> None:
        if self.own is not None:
            self.own.release()
            self.own = None

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
