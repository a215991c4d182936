"""Scores of every evaluation: to TensorBoard as curves, to checkpoint monitors, and to `alignment.jsonl`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torchmetrics import MetricCollection
from typing_extensions import override

from callbacks.evaluation import EvaluationCallback, fitting
from callbacks.failures import listed, of_all_ranks
from callbacks.files import write_text
from callbacks.first_rank import from_all_ranks
from callbacks.scoring.clip_judge import ClipJudge
from callbacks.scoring.judge import AMONG, cut_texts
from callbacks.scoring.metrics import FEATURE_SCORES, Estimate, LeakRateAmong, MeanOverReferences
from callbacks.tensorboard import add_layout
from datamodules.reading import parse_json, read_bytes, reading
from lightning_modules.outputs import Generations, Job

_MASKED = "mask/share_masked"


class AlignmentScores(EvaluationCallback):
    """Scores the pictures of each evaluation with one judge, with 95 % intervals over the style references.

    Args:
        judge: the CLIP that scores; default the miniature's.
        contents: content prompts ("A dog") among which a leak to the reference's own one is the stricter
            score `leakage/leaked_among_all`; default those of the datamodule's references. Without any that
            score is left out.
        constant_steps: training steps at which the scores of a tuning-free method are logged too, all the
            same: a constant line over the curves of the trained ones. None logs at the evaluated step only, as
            do modules that have parameters to train.
        suffix: appended to each tag, such as "_vit_h14" for a second judge beside the first.
    """

    def __init__(
        self,
        judge: ClipJudge | None = None,
        contents: Sequence[str] | None = None,
        constant_steps: list[int] | None = None,
        suffix: str = "",
    ) -> None:
        super().__init__()
        self.judge = judge or ClipJudge()
        self.contents, self.constant_steps, self.suffix = contents, constant_steps, suffix
        self._scores = MetricCollection({})
        self._masked = MeanOverReferences()
        self._failures: dict[str, str] = {}
        self._scored = 0

    @property
    def state_key(self) -> str:
        """Keeps two instances with two judges apart."""
        return self._generate_state_key(judge=self.judge.name, suffix=self.suffix)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Name the judge among the run's hyper-parameters, and lay TensorBoard's custom page out."""
        for logger in trainer.loggers:
            logger.log_hyperparams({f"judge{self.suffix}": self.judge.name})
        add_layout(trainer)

    @override
    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the judge to the module's device and start with empty metrics."""
        self.judge.to(pl_module.device)
        classes: dict[str, Any] = {tag: metric() for tag, metric in FEATURE_SCORES.items()}
        contents = self.contents if self.contents is not None else _known_contents(trainer)
        if contents:
            classes[AMONG] = LeakRateAmong(self.judge.text_features(sorted(set(contents))))
        # Compute groups would merge scores that happen to agree on the first batch.
        self._scores = MetricCollection(classes, compute_groups=False).to(pl_module.device)
        self._masked = MeanOverReferences().to(pl_module.device)
        self._failures, self._scored = {}, 0

    @override
    def add(self, generations: Generations) -> None:
        """Score one batch."""
        jobs = generations.jobs
        self._failures |= {_described(job): why for job, why in generations.failures.items()}
        self._scored += len(jobs)
        if not jobs:
            return
        references = torch.tensor([job.reference.index for job in jobs])
        features = self.judge.unit_features(
            generations.images,
            generations.references,
            [job.reference.content_prompt for job in jobs],
            [job.prompt for job in jobs],
        )
        self._scores.update(features=features, references=references)
        if generations.share_masked is not None:
            self._masked.update(generations.share_masked, references)

    @override
    def finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log all scores and write this evaluation's line; ValueError where no picture could be made."""
        failures = of_all_ranks(self._failures)
        _report(failures, sum(from_all_ranks(self._scored)))
        estimates: dict[str, Estimate] = self._scores.compute()
        # Together: a rank without pictures must not stay out of what the others gather.
        if trainer.strategy.reduce_boolean_decision(self._masked.update_called, all=False):
            estimates[_MASKED] = self._masked.compute()
        self._log(trainer, pl_module, estimates)
        cut = cut_texts(trainer, [self.judge])
        log_dir = trainer.log_dir  # a broadcast: on every rank
        if trainer.is_global_zero and log_dir is not None:
            line = {**self._line(trainer, pl_module, estimates), **({"cut_texts": cut[self.judge.name]} if cut else {})}
            replace_line(Path(log_dir) / "alignment.jsonl", line)

    def _log(self, trainer: Trainer, pl_module: LightningModule, estimates: dict[str, Estimate]) -> None:
        step, means, intervals = self.step(trainer), *_curves(estimates, self.suffix)
        several = trainer.world_size > 1
        if fitting(trainer):
            # For monitors only: Lightning's own step would be one behind, and a metric "step" names checkpoints.
            pl_module.log_dict(means, logger=False, sync_dist=several)
            here = {**means, **intervals}
        else:
            # The table shows what goes to the loggers by way of Lightning, which a metric "step" places.
            pl_module.log_dict({**means, "step": float(step)}, sync_dist=several)
            here = intervals
        for logger in trainer.loggers:
            logger.log_metrics(here, step=step)
            for other in sorted({*(self._constant_steps(pl_module) or [])} - {step}):
                logger.log_metrics({**means, **intervals}, step=other)
            logger.save()

    def _constant_steps(self, pl_module: LightningModule) -> list[int] | None:
        is_trained = any(parameter.requires_grad for parameter in pl_module.parameters())
        return None if is_trained else self.constant_steps

    def _line(self, trainer: Trainer, pl_module: LightningModule, estimates: dict[str, Estimate]) -> dict[str, Any]:
        first = next(iter(estimates.values()))
        return {
            "method": pl_module.name,
            "judge": self.judge.name,
            "stage": "test" if trainer.testing else "validate",
            "step": self.step(trainer),
            "constant_steps": self._constant_steps(pl_module),
            "scores": {tag: estimate.mean for tag, estimate in estimates.items()},
            "intervals": {tag: [estimate.low, estimate.high] for tag, estimate in estimates.items()},
            "images": sum(first.counts),
            "references": first.references,
            "images_by_reference": first.counts,
            "means_by_reference": {tag: estimate.means for tag, estimate in estimates.items()},
            "settings": pl_module.settings,
        }


def replace_line(path: Path, line: dict[str, Any]) -> None:
    """Add `line` to the JSON lines of `path`, in place of one of the same method, judge, stage and step."""
    expected = "Move it away, for the scores in it to begin anew."
    with reading(path, "trainer.default_root_dir", expected):
        lines = [parse_json(old) for old in read_bytes(path).splitlines()] if path.exists() else []
        kept = [old for old in lines if _identity(old) != _identity(line)]
    write_text(path, "".join(json.dumps(entry) + "\n" for entry in [*kept, line]))


def _identity(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["method"], line["judge"], line["stage"], line["step"]


def _curves(estimates: dict[str, Estimate], suffix: str) -> tuple[dict[str, float], dict[str, float]]:
    """Means, and ends of the intervals, by tag."""
    means = {f"{tag}{suffix}": estimate.mean for tag, estimate in estimates.items()}
    lows = {f"{tag}{suffix}_low": estimate.low for tag, estimate in estimates.items()}
    highs = {f"{tag}{suffix}_high": estimate.high for tag, estimate in estimates.items()}
    return means, {**lows, **highs}


def _described(job: Job) -> str:
    return f"{job.prompt!r} in the style of {job.reference.key!r}, sample {job.sample}"


def _report(failures: dict[str, str], scored: int) -> None:
    """Says which pictures have no scores; raises ValueError if none has."""
    if failures and not scored:
        raise ValueError(f"None of the {len(failures)} pictures of this evaluation could be made:{listed(failures)}")
    if failures:
        rank_zero_warn(f"{len(failures)} of {scored + len(failures)} pictures have no scores:{listed(failures)}")


def _known_contents(trainer: Trainer) -> list[str]:
    """Content prompts that the datamodule says its references can have."""
    return list(getattr(trainer.datamodule, "content_prompts", []))  # type: ignore[attr-defined]
