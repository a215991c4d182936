"""`maskst test`: scores pictures that lie in folders, and makes tables and a report of them."""

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
from callbacks.scoring.table import check_sources
from datamodules.predictions import Predictions
from lightning_modules.style_transfer import Scoring
from scripts.announced import scoring
from scripts.command import Command, parser_kwargs
from scripts.report.page import write
from scripts.report.tables import show
from scripts.terminal import TERMINAL

_DESCRIPTION = "Scores pictures that lie in folders or are named by a table: tables and report.html."


def main(args: list[str]) -> None:
    """Score what the configs and the command line name: `data.folders` or `data.table`."""
    Test(args).run()


class Test(Command):
    """Scores what the configs and the command line `args` name.

    Raises:
        ValueError: nothing can be scored, or the folder holds the scores of other pictures.
    """

    datamodule: Predictions

    def __init__(self, args: list[str]) -> None:
        usage = "--data.folders FOLDERS --data.references FOLDERS"
        more = {"prog": "maskst test", "description": _DESCRIPTION}
        super().__init__(
            args,
            Scoring,
            Predictions,
            seed_everything_default=False,
            parser_kwargs=parser_kwargs("test", usage, "defaults/test", **more),
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What scores the pictures."""
        parser.add_lightning_class_args(PredictionScores, "scoring")

    def options(self, config: Any) -> dict[str, Any]:
        """Without a folder of their own the scores lie beside the pictures, or in a folder for all."""
        folders, scores = self.datamodule.folders, config.scoring
        scores.folder = scores.folder or str(Path(folders[0] if len(folders) == 1 else "outputs") / "scores")
        self.own = [OwnFolder(scores.folder, "scoring.folder")]
        return {}

    def announced(self, pictures: int) -> str:
        """How many pictures are scored, on what, and where the scores come to lie."""
        return scoring(self.trainer, pictures, self.config_init.scoring.folder)

    def run(self) -> None:
        """Score, and report."""
        with self.taken():
            check_sources(Path(self.config_init.scoring.folder), self.datamodule.sources)
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
            report(self.trainer, self.config_init.scoring.folder)


def report(trainer: Trainer, folder: str) -> None:
    """Makes tables, figures and the page of the scores in `folder`, on one process, and shows the scores in short."""
    if not trainer.is_global_zero:
        return
    scored = Scored.read(Path(folder))
    path = write(scored)
    if not TERMINAL.quiet:
        show(scored)
    rank_zero_info(f"Scores, tables and figures are in `{folder}`; open {path}")
