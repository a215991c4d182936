"""Scores of every evaluation: to TensorBoard as curves, to checkpoint monitors, and to the run's table of scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from callbacks.evaluation import LAYOUT, EvaluationCallback, fitting, writers
from callbacks.ranks import on_first_rank, report
from callbacks.scoring.clip_judge import ClipJudge
from callbacks.scoring.judge import Judge
from callbacks.scoring.rows import Rows
from callbacks.scoring.scored import Scored
from callbacks.scoring.table import Table, joined, read_evaluations, write_table
from lightning_modules.outputs import JSON, GenerationModule, Generations, Predicted, Prediction, to_pil


class AlignmentScores(EvaluationCallback):
    """Scores the pictures of each evaluation with one judge, with 95 % intervals over the style references.

    Args:
        judge: who scores; default the miniature's CLIP.
        contents: content prompts ("A dog") among which a leak to the reference's own one is the stricter
            score `leakage/leaked_among_all`; default those of the data's references.
        constant_steps: training steps at which the scores of a tuning-free method are logged too, all the
            same: a constant line over the curves of the trained ones. None logs at the evaluated step only, as
            do modules that have parameters to train.
        suffix: appended to each tag, such as "_vit_h14" for a second judge beside the first.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        contents: Sequence[str] | None = None,
        constant_steps: list[int] | None = None,
        suffix: str = "",
    ) -> None:
        super().__init__()
        self.judge = judge or ClipJudge()
        self.contents, self.constant_steps, self.suffix = contents, constant_steps, suffix

    @property
    def state_key(self) -> str:
        """Keeps two instances with two judges apart."""
        return self._generate_state_key(judge=self.judge.name, suffix=self.suffix)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Name the judge among the run's hyper-parameters, and lay TensorBoard's custom page out."""
        for logger in trainer.loggers:
            logger.log_hyperparams({f"judge{self.suffix}": self.judge.name})
        for writer in writers(trainer):
            writer.add_custom_scalars(LAYOUT)

    @override
    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the judge to the module's device and start without scores, where they can be kept."""
        log_dir = trainer.log_dir  # a broadcast: on every rank
        if log_dir is not None:
            on_first_rank(trainer, lambda: read_evaluations(Path(log_dir)))
        self._rows = Rows([self.judge], self.contents, pl_module.device)
        module = cast(GenerationModule, pl_module)
        self._method, self._settings = module.name, module.settings

    @override
    def add(self, generations: Generations) -> None:
        self._rows.add(_predicted(generations, self._method, self._settings))

    @override
    def finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log all scores and keep them in the table; ValueError where no picture could be made."""
        told = self._rows.gather()
        report(told.failures, len(told.predictions), "of this evaluation could be made", "have no scores")
        step = self.step(trainer)
        failures = {f"step {step}: {name}": why for name, why in told.failures.items()}
        table = self._rows.table(step, failures=failures)
        self._log(trainer, pl_module, Scored(table, Path()))
        log_dir = trainer.log_dir  # a broadcast: on every rank
        if log_dir is not None:
            on_first_rank(trainer, lambda: _keep(Path(log_dir), table))

    def _log(self, trainer: Trainer, pl_module: LightningModule, scored: Scored) -> None:
        [group] = scored.groups
        found = {tag: scored.estimate(group, self.judge.name, tag) for tag in scored.tags(self.judge.name)}
        estimates = {f"{tag}{self.suffix}": estimate for tag, estimate in found.items() if estimate}
        means = {tag: estimate.mean for tag, estimate in estimates.items()}
        intervals = {f"{tag}_low": estimate.low for tag, estimate in estimates.items()}
        intervals |= {f"{tag}_high": estimate.high for tag, estimate in estimates.items()}
        step, several = self.step(trainer), trainer.world_size > 1
        if fitting(trainer):
            # For monitors only: Lightning's own step would be one behind, and a metric "step" names checkpoints.
            pl_module.log_dict(means, logger=False, sync_dist=several)
            here = {**means, **intervals}
        else:
            # The table shows what goes to the loggers by way of Lightning, which a metric "step" places.
            pl_module.log_dict({**means, "step": float(step)}, sync_dist=several)
            here = intervals
        is_trained = any(parameter.requires_grad for parameter in pl_module.parameters())
        constant = set() if is_trained else {*(self.constant_steps or [])} - {step}
        for logger in trainer.loggers:
            logger.log_metrics(here, step=step)
            for other in sorted(constant):
                logger.log_metrics({**means, **intervals}, step=other)
            logger.save()


def _predicted(generations: Generations, method: str, settings: dict[str, JSON]) -> Predicted:
    """Pictures that were generated just now, as those that lie in a folder are scored."""
    predictions = []
    for job, share in zip(generations.jobs, generations.shares, strict=True):
        shown, content_image = job.reference, job.content_image and job.content_image.key
        told = shown.word, shown.style, job.prompt, job.sample, job.seed, share, settings, content_image
        predictions.append(Prediction("", method, shown.key, "", *told))
    failures = {
        f"{job.prompt!r} in the style of {job.reference.key!r}, sample {job.sample}": why
        for job, why in generations.failures.items()
    }
    images, references = to_pil(generations.images), generations.references
    return Predicted(images, predictions, references, failures=failures, contents=generations.contents)


def _keep(folder: Path, table: Table) -> None:
    """Beside the scores of other steps, in place of those of this one."""
    earlier = read_evaluations(folder)
    write_table(folder, table if earlier is None else joined(earlier, table))
