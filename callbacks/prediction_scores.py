"""Scores every picture of `Predictions` with every judge, and writes them to a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from callbacks.evaluation import EvaluationCallback
from callbacks.failures import listed, of_all_ranks
from callbacks.first_rank import on_first_rank
from callbacks.scoring.classifier_judge import ClassifierJudge
from callbacks.scoring.clip_judge import ClipJudge
from callbacks.scoring.groups import groups_of, siblings_of
from callbacks.scoring.judge import Judge, cut_texts
from callbacks.scoring.picture_scores import Gathered, PictureScores
from callbacks.scoring.table import check_sources, score_table, write_scores
from lightning_modules.outputs import Predicted, Prediction


class ScoredData(Protocol):
    """What is asked of a datamodule whose pictures are scored."""

    predictions: list[Prediction]
    failures: dict[str, str]
    sources: list[str]
    content_prompts: list[str]


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
        self._judges: list[Judge] = []
        _check_names(judges)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse other data, and a folder with other scores, before anything is scored."""
        if stage == "predict":  # a trainer may draw the pictures first
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not hasattr(data, "predictions"):
            raise ValueError(
                f"`PredictionScores` scores the pictures of `Predictions`, and the data are {type(data).__name__}. "
                "Give `Predictions` as the data and `Scoring` as the model, or score by `AlignmentScores`."
            )
        self._data = cast(ScoredData, data)
        self._folder = Path(self.folder or trainer.default_root_dir)
        on_first_rank(trainer, lambda: check_sources(self._folder, self._data.sources))
        self._judges = self._chosen_judges()

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
        predictions = self._data.predictions
        siblings = siblings_of(predictions)
        self._positions = {prediction.path: position for position, prediction in enumerate(predictions)}
        self._contents = sorted(set(self._data.content_prompts if self.contents is None else self.contents))
        self._scores = {judge.name: PictureScores(siblings).to(pl_module.device) for judge in self._judges}
        self._unread: dict[str, str] = {}
        for judge in self._judges:
            judge.to(pl_module.device)

    @override
    def add(self, predicted: Predicted) -> None:  # type: ignore[override]
        """Let every judge score one batch."""
        self._unread |= predicted.failures
        if not predicted.predictions:
            return
        positions = [self._positions[prediction.path] for prediction in predicted.predictions]
        for judge in self._judges:
            self._scores[judge.name].update(positions, judge.verdict(predicted, self._contents))

    @override
    def finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the scores of all ranks together and write them."""
        unread = of_all_ranks(self._unread)
        _report(unread, len(self._positions))
        gathered = {name: scores.compute() for name, scores in self._scores.items()}
        cut = cut_texts(trainer, self._judges)
        on_first_rank(trainer, lambda: self._write(gathered, unread, cut))

    def _write(self, gathered: dict[str, Gathered], unread: dict[str, str], cut: dict[str, dict[str, int]]) -> None:
        positions = gathered[self._judges[0].name].positions
        scored = [self._data.predictions[position] for position in positions]
        groups, numbers = groups_of(scored)
        labels = [groups[number].setting for number in numbers]
        table = score_table(scored, labels, {name: scores.values for name, scores in gathered.items()})
        about = {
            "judges": list(gathered),
            "pictures": len(scored),
            "groups": [group._asdict() for group in groups],
            "failures": {**self._data.failures, **unread},
            "unread": [_cell(self._data.predictions[self._positions[path]]) for path in unread],
            "contents": self._contents,
            "cut_texts": cut,
            "sources": self._data.sources,
        }
        write_scores(self._folder, table, about)


def _cell(prediction: Prediction) -> dict[str, Any]:
    """Where a picture stands in the grid that methods share; for it none of them is compared."""
    return {
        "reference": prediction.reference_key,
        "prompt": prediction.prompt,
        "sample": prediction.sample,
        "seed": prediction.seed,
        "content_image": prediction.content_image,
    }


def _check_names(judges: Sequence[Judge] | None) -> None:
    names = [judge.name for judge in judges or ()]
    if judges is not None and not names:
        raise ValueError("`judges` is empty: give one or more, or leave it out for those of the miniature.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"`judges`: two are named {', '.join(map(repr, twice))}, and their scores could not be told apart. "
            "Leave one out."
        )


def _report(unread: dict[str, str], pictures: int) -> None:
    """Says once which pictures could not be read; raises ValueError if none could."""
    if not unread:
        return
    if len(unread) == pictures:
        raise ValueError(f"None of the {pictures} pictures can be read:{listed(unread)}\nNo scores were written.")
    rank_zero_warn(f"{len(unread)} of {pictures} pictures cannot be read and have no scores:{listed(unread)}")
