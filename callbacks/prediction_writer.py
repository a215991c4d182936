"""Writes predictions as they come, and lets a second run generate only what is missing."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from PIL import Image
from typing_extensions import override

from callbacks.own_folder import OwnFolder
from callbacks.ranks import from_all_ranks, listed, on_first_rank
from callbacks.scoring.groups import flat
from datamodules.files import cannot_write, write_text
from datamodules.images import write_png
from datamodules.names import digest, slug
from datamodules.prediction_folders import LINES, WAY_OUT, finished_lines
from datamodules.reading import read_json
from lightning_modules.outputs import Found, GenerationModule, Job, to_pil

_MISSING = "(absent)"


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
        self.own: OwnFolder | None = None
        self.written = self._skipped = self._masked = 0
        self.failures: dict[str, str] = {}

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the folder, which is looked at when the weights, which belong to its settings, are loaded."""
        if stage != "predict":
            return
        self._module = cast(GenerationModule, pl_module)
        self._pending, self._skipped, self.written, self._masked, self.failures = [], 0, 0, 0, {}
        self._folder = PredictionFolder(self.folder or Path("outputs", "predict", slug(self._module.name)))
        self.own = self.own or OwnFolder(self._folder.path, "folder")
        self.own.setup(trainer, pl_module, stage)

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folder, which refuses other settings, and start the threads."""
        self._settings = {"name": self._module.name, **self._module.settings}
        self._finished = on_first_rank(trainer, lambda: self._folder.open(self._settings))
        if self._finished:
            rank_zero_info(
                f"`{self._folder.path}` holds {len(self._finished)} finished pictures; only missing ones are generated."
            )
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="png")

    @override
    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *batch: Any, **named: Any
    ) -> None:
        """Hand a batch to the threads, once the batch before is on disk; an error there stops the run."""
        assert self._pool is not None
        self._wait()
        method = self._module.name
        self.failures |= {picture_name(job, method): why for job, why in outputs.failures.items()}
        self._skipped += outputs.finished
        told = outputs.jobs, to_pil(outputs.images), outputs.shares, outputs.mostly_masked
        for job, image, share, is_masked in zip(*told, strict=True):
            name = picture_name(job, method)
            if name in self._finished:  # comes along where no datamodule leaves it out
                self._skipped += 1
                continue
            self._masked += is_masked
            line = picture_line(job, share, method, self._settings, outputs.found.get(job.reference.key))
            self._pending.append(self._pool.submit(self._folder.write, name, image, line, trainer.global_rank))

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
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
        if stage != "predict":
            return
        counts = torch.tensor([self.written, self._skipped, self._masked], device=trainer.strategy.root_device)
        written, skipped, masked = trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        self._release()
        others = len(self._finished) - skipped
        beside = f" {others} of other references, prompts or seeds lie beside them." if others else ""
        little = (
            f" {masked} of those written were drawn from a feature of which more than half is masked." if masked else ""
        )
        self.failures = {name: why for each in from_all_ranks(self.failures) for name, why in each.items()}
        failed = f", {len(self.failures)} could not be made" if self.failures else ""
        rank_zero_info(
            f"{written} {'picture was' if written == 1 else 'pictures were'} written to `{self._folder.path}`; "
            f"{skipped} lay there already{failed}."
            f"{beside}{little}"
        )
        if self.failures:
            rank_zero_warn(f"{len(self.failures)} pictures could not be made:{listed(self.failures)}")

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


class PredictionFolder:
    """PNG files beside `generations-<rank>.jsonl` and `settings.json`.

    A picture is finished once its line stands, and the line is written after the picture: a run that stops in
    between does the picture again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = Lock()

    def open(self, settings: dict[str, Any]) -> set[str]:
        """Make the folder ready for `settings`, and return the names of the pictures that are finished in it.

        Raises:
            ValueError: if the pictures in it were made with other settings, or `settings.json` is damaged.
            OSError: if it cannot be written.
        """
        known = self.path / "settings.json"
        if known.exists() and any(self.path.glob("*.png")):  # a run that failed before its first picture binds nobody
            self._check_same(flat(read_json(known, "folder", WAY_OUT)), flat(json.loads(json.dumps(settings))))
        write_text(known, json.dumps(settings, indent=2) + "\n")
        for unfinished in self.path.glob(".*.tmp"):  # of earlier versions
            unfinished.unlink()
        finished: set[str] = set()
        for file in sorted(self.path.glob(LINES)):
            lines = {line["file"]: line for line in finished_lines(file) if line["file"] not in finished}
            finished |= lines.keys()
            # Other lines (cut off, picture removed, named before) leave it.
            text = "".join(json.dumps(line) + "\n" for line in lines.values())
            if text.encode() != file.read_bytes():
                write_text(file, text)
        return finished

    def write(self, name: str, image: Image.Image, line: dict[str, Any], rank: int) -> None:
        """Write a picture and then what is said about it; safe to call from several threads."""
        write_png(self.path / name, image)
        lines = self.path / f"generations-{rank}.jsonl"
        try:
            with self._lock, open(lines, "a", encoding="utf-8") as file:
                file.write(json.dumps({"file": name, **line}) + "\n")
        except OSError as error:
            raise cannot_write(lines, error) from error

    def _check_same(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        told = {key: (new.get(key, _MISSING), old.get(key, _MISSING)) for key in sorted(old.keys() | new.keys())}
        differences = [f"`{key}` is {now!r} and was {before!r}" for key, (now, before) in told.items() if now != before]
        if differences:
            raise ValueError(
                f"`folder`: the pictures in `{self.path}` were made with other settings: {'; '.join(differences)}. "
                "Nothing was changed there. Give another folder (`--trainer.default_root_dir`, `folder` of the "
                "prediction writer, or `--output` of `maskst transfer`), or remove this one."
            )


def picture_name(job: Job, method: str) -> str:
    """File name of a job's picture: readable, safe on every file system, and different for different jobs.

    Words are shortened to what file systems take; the last part, a fingerprint of all that decides the picture, keeps
    apart what looks the same after that. Where its references lie and what their files are called is no part of it.
    """
    exact = json.dumps([job.identity, method])
    words = [job.reference.word, job.reference.style, job.prompt, method, f"seed{job.seed}"]
    return "__".join([*map(slug, filter(None, words)), digest(exact.encode())]) + ".png"


def picture_line(
    job: Job, share_masked: float | None, method: str, settings: dict[str, Any], found: Found | None = None
) -> dict[str, Any]:
    """What is said of a picture, as JSON."""
    line = {**job_line(job), "share_masked": share_masked, "method": method, "settings": settings}
    return line if found is None else {**line, "found": {"margin": found.margin, "second": found.second}}


def job_line(job: Job) -> dict[str, Any]:
    """A job as JSON; `others`, `negatives` and `content_image` stand in it only where the job has some."""
    line = {"reference": _named(job.reference), "prompt": job.prompt, "sample": job.sample, "seed": job.seed}
    further = {"others": job.others, "negatives": job.negatives}
    line |= {name: list(map(_named, references)) for name, references in further.items() if references}
    return line | ({"content_image": _named(job.content_image)} if job.content_image else {})


def _named(reference: Any) -> dict[str, str]:
    """A reference without its place in today's set, and without a word that was not found."""
    told = reference._asdict()
    return {name: told[name] for name in told if name != "index" and (name != "found" or told[name])}
