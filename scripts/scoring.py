"""`maskst test`: scores pictures that lie in folders, and makes tables and a report of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info

# Imported for the YAMLs, where a class needs no module's name once it is known.
import callbacks.scoring.classifier_judge
import callbacks.scoring.clip_judge  # noqa: F401
from callbacks.own_folder import OwnFolder
from callbacks.prediction_scores import PredictionScores
from callbacks.scoring.scored import Scored
from datamodules.predictions import Predictions
from datamodules.style_references import StyleReferences
from lightning_modules.style_transfer import Scoring
from scripts.defaults import CONFIGS, TRAINER_DEFAULTS, Command
from scripts.own_callbacks import callbacks_of
from scripts.report.page import write
from scripts.report.tables import show


class Test(Command):
    """Scores what the configs and the command line `args` name: `data.folders` or `data.table`.

    Raises:
        ValueError: nothing can be scored, or the folder holds the scores of other pictures.
    """

    datamodule: Predictions

    def __init__(self, args: list[str]) -> None:
        super().__init__(
            Scoring,
            Predictions,
            save_config_callback=None,
            seed_everything_default=False,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs={
                "prog": "maskst test",
                "description": "Scores pictures that lie in folders or are named by a table: tables and report.html.",
                "usage": "maskst test --data.folders FOLDERS --data.references FOLDERS [--KEY VALUE ...]",
                "default_config_files": [str(CONFIGS / "defaults" / "test.yaml")],
            },
            auto_configure_optimizers=False,
            run=False,
            args=args,
        )
        try:
            self._own.take_before(self.trainer)
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
            report(self.trainer, self.config_init.scoring.folder)
        finally:
            self._own.release()

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What scores the pictures."""
        parser.add_lightning_class_args(PredictionScores, "scoring")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer; without a folder of their own the scores lie beside the pictures."""
        scores: PredictionScores = self.config_init.scoring
        if scores.folder is None:
            scores.folder = str(beside(self.datamodule.folders))
        self._own = OwnFolder(scores.folder, "scoring.folder")
        kwargs["callbacks"] = [self._own, *callbacks_of(self.config_init)]
        return super().instantiate_trainer(**kwargs)


def beside(folders: Sequence[str]) -> Path:
    """Where the scores of the pictures in `folders` lie: in the only folder, or in a folder for all."""
    return Path(folders[0] if len(folders) == 1 else "outputs") / "scores"


def score(trainer: Trainer, drawn: StyleReferences, pictures: Mapping[str, Iterable[str]]) -> None:
    """Scores, by the trainer's `PredictionScores`, pictures that were drawn for the references of `drawn`.

    Args:
        trainer: has drawn them.
        drawn: whose references and content images the pictures were drawn for.
        pictures: folder -> names of its pictures; others may lie there, drawn for other references or prompts.
    """
    predictions = Predictions(list(pictures), drawn.reference_roots, num_workers=drawn.num_workers)
    predictions.keep_only(Path(folder) / name for folder, names in pictures.items() for name in names)
    trainer.test(Scoring(), datamodule=predictions, verbose=False)


def report(trainer: Trainer, folder: str | None) -> None:
    """Makes tables, figures and the page of the scores in `folder`, on one process, and shows the scores in short."""
    if not trainer.is_global_zero:
        return
    scored = Scored.read(Path(folder or ""))
    path = write(scored)
    show(scored)
    rank_zero_info(f"Scores, tables and figures are in `{folder}`; open {path}")
