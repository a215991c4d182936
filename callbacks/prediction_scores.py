"""Scores every picture of `Predictions` with every judge, and writes them to a folder."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from callbacks.evaluation import EvaluationCallback
from callbacks.ranks import on_first_rank, report
from callbacks.scoring.classifier_judge import ClassifierJudge
from callbacks.scoring.clip_judge import ClipJudge
from callbacks.scoring.judge import Judge
from callbacks.scoring.rows import Rows
from callbacks.scoring.table import check_sources, write_table
from lightning_modules.outputs import Predicted

_PLACE = ("prompt", "sample", "seed", "content_image")


class PredictionScores(EvaluationCallback):
    """Writes the scores of every picture as `scores.csv`, `scores.parquet` and `scores.json`.

    Args:
        judges: who scores; default the miniature's CLIP and classifier.
        folder: where to; None: `trainer.default_root_dir`, for which `maskst test` takes `scores` beside the pictures
            of one folder, or in `outputs`. Earlier scores of the same pictures are replaced.
        contents: content prompts ("A dog") among which a leak to the reference's own one is the stricter score
            `leakage/leaked_among_all`; default those of all references.
        cache: folder in which features are kept by the content of pictures and texts, for judges that name none:
            scoring again then needs no network. None keeps them in memory at most.

    Raises:
        ValueError: there is no judge, or two have the same name.
    """

    def __init__(
        self,
        judges: list[Judge] | None = None,
        folder: str | None = None,
        contents: list[str] | None = None,
        cache: str | None = "data/features",
    ) -> None:
        super().__init__()
        self.judges, self.folder, self.contents, self.cache = judges, folder, contents, cache
        _check_names(judges)

    def find_judges(self) -> None:
        """Find, or fetch, the files of all judges, so that what is missing is named before any picture is drawn."""
        for judge in self._chosen_judges():
            judge.find()

    def _chosen_judges(self) -> list[Judge]:
        _check_names(self.judges)  # again: they may have been set since
        judges = [ClipJudge(), ClassifierJudge()] if self.judges is None else self.judges
        for judge in judges:
            judge.cache = judge.cache or self.cache
        return judges

    @override
    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the judges to the module's device and start without scores."""
        self._folder = Path(self.folder or trainer.default_root_dir)
        self._rows = Rows(self._chosen_judges(), self.contents, pl_module.device)
        self._checked: list[str] | None = None

    @override
    def add(self, predicted: Predicted) -> None:  # type: ignore[override]
        """Let every judge score one batch; a folder with other scores is refused at the first."""
        if not isinstance(predicted, Predicted):
            raise ValueError(
                f"`PredictionScores` scores the pictures of `Predictions`, and the step gave "
                f"{type(predicted).__name__}. Give `Predictions` as the data and `Scoring` as the model, or score by "
                "`AlignmentScores`."
            )
        if self._checked != predicted.sources:
            check_sources(self._folder, predicted.sources)
            self._checked = predicted.sources
        self._rows.add(predicted)

    @override
    def finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the scores of all ranks together and write them."""
        told = self._rows.gather()
        failures = {each.path: told.failures[each.path] for each in told.unread}
        words = "can be read", "cannot be read and have no scores", "\nNo scores were written."
        report(failures, len(told.predictions), *words)
        # The places of these in the grid that methods share: there none of them is compared.
        unread = [
            {"reference": each.reference_key, **{name: getattr(each, name) for name in _PLACE}} for each in told.unread
        ]
        table = self._rows.table(unread=unread, sources=told.sources)
        on_first_rank(trainer, lambda: write_table(self._folder, table))


def _check_names(judges: Sequence[Judge] | None) -> None:
    names = [judge.name for judge in judges or ()]
    if judges is not None and not names:
        raise ValueError("`judges` is empty: give one or more, or leave it out for those of the miniature.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"`judges`: two are named {', '.join(map(repr, twice))}, and their scores could not be told apart. "
            "Leave one out."
        )
