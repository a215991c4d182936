"""Callbacks that `maskst` runs for the reproduction: progress for the display, pictures for the figure."""

import json
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from callbacks.evaluation import EvaluationCallback
from callbacks.files import slug, to_pil, write_png, write_text
from lightning_modules.outputs import Generations

STEPS_PER_EVALUATION = 90  # training steps that take about as long as one evaluation
_WRITE_SECONDS = 0.2


class StageProgress(Callback):
    """Writes how far the run is into a small file, and ends the run when the process that reads it is gone.

    Args:
        path: JSON file of `fraction`, 0 to 1, and `text`.
        parent: number of the process that started this one.
        settings: how many settings a sweep draws.
    """

    def __init__(self, path: str, parent: int, settings: int = 1) -> None:
        super().__init__()
        self.path, self.parent, self.settings = Path(path), parent, settings
        self._written = self._before = 0.0
        self._predictions = 0
        self._is_drawing = False

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say that the networks are being loaded."""
        if stage == "predict":
            self._predictions += 1
        if self._predictions <= 1:
            self._write(trainer, 0.0, "loading")

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
        """Report a batch of one setting of a sweep."""
        part = (batch_idx + 1) / max(1, sum(map(int, trainer.num_predict_batches)))
        settings = max(self.settings, self._predictions)
        if not self._is_drawing:  # the settings before this one lay there
            self._is_drawing, self._before = True, (self._predictions - 1) / settings
        fraction = (self._predictions - 1 + part) / settings
        self._write(trainer, fraction, f"setting {self._predictions} of {self.settings}")

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what was done before an interruption."""
        if trainer.global_step > 0:
            self._before = _fraction(trainer, trainer.global_step, trainer.global_step // _interval(trainer) + 1)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report a training step."""
        step = trainer.global_step
        evaluations = 1 + (step - 1) // _interval(trainer)
        self._write(trainer, _fraction(trainer, step, evaluations), f"training, step {step} of {trainer.max_steps}")

    @override
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Report a batch of an evaluation."""
        step, part = trainer.global_step, (batch_idx + 1) / max(1, sum(map(int, trainer.num_val_batches)))
        text = f"evaluation at step {step}, {100 * part:.0f} %"
        self._write(trainer, _fraction(trainer, step, step // _interval(trainer) + part), text)

    def _write(self, trainer: Trainer, fraction: float, text: str) -> None:
        if not trainer.is_global_zero:  # rank 0 has started the others, which end with it
            return
        if os.getppid() != self.parent:
            raise SystemExit("the process that started this one is gone")
        now = time.monotonic()
        if now - self._written > _WRITE_SECONDS:
            self._written = now
            write_text(self.path, json.dumps({"fraction": fraction, "text": text, "before": self._before}))


class EvaluationPictures(EvaluationCallback):
    """Keeps the first references of each evaluation and their results for the first prompt, as PNG files.

    They are `<log_dir>/pictures/<reference>.png` and `<log_dir>/pictures/step_000080/<reference>_<prompt>.png`. Of
    several processes the first keeps those of its share.

    Args:
        references: how many.
    """

    def __init__(self, references: int = 6) -> None:
        super().__init__()
        self.references = references
        self._seen: set[int] = set()

    @override
    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the evaluation before."""
        self._seen = set()
        self._is_first = trainer.is_global_zero
        self._folder = Path(trainer.log_dir or ".") / "pictures"
        self._step = f"step_{self.step(trainer):06d}"

    @override
    def add(self, generations: Generations) -> None:
        """Write the pictures of one batch."""
        images = to_pil(generations.images)
        for place, job in enumerate(generations.jobs):
            index = job.reference.index
            if not self._is_first or index in self._seen or len(self._seen) == self.references:
                continue
            self._seen.add(index)
            write_png(self._folder / f"{index}.png", generations.references[place])
            write_png(self._folder / self._step / f"{index}_{slug(job.prompt)}.png", images[place])


def _interval(trainer: Trainer) -> int:
    """Training steps between evaluations; without training, more than there are."""
    return int(trainer.val_check_interval) if trainer.max_steps > 0 else 1


def _fraction(trainer: Trainer, step: int, evaluations: float) -> float:
    """Share of the stage's work that is done after so many steps and evaluations."""
    steps = max(0, trainer.max_steps)
    total = steps / STEPS_PER_EVALUATION + 1 + steps // _interval(trainer)
    return (step / STEPS_PER_EVALUATION + evaluations) / total
