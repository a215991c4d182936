"""`maskst sweep`: many settings drawn by one process, whose networks and encodings they share, and then scored."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from callbacks.alignment_scores import AlignmentScores
from callbacks.own_folder import OwnFolder
from callbacks.prediction_scores import PredictionScores
from callbacks.ranks import refuse
from callbacks.scoring.table import check_sources
from datamodules.jobs import spread
from datamodules.prediction_folders import finished_pictures
from datamodules.predictions import Predictions
from datamodules.style_references import StyleReferences
from lightning_modules.style_transfer import Scoring, StyleTransfer
from scripts.announced import drawing, scoring
from scripts.command import Command, add_own, parser_kwargs
from scripts.paths import clock
from scripts.variants import EXAMPLE, SweptMethod, variants

_SHOWN = 6  # masks in the report
_HELP = (
    f"what is drawn: a list of methods such as {EXAMPLE}, with a class of lightning_modules.conditions, values of its "
    "arguments and of keys of --model.sampling; of lists every combination"
)
_DESCRIPTION = "Draws many settings by one process that goes on where it was stopped, then scores them in a report."


def main(args: list[str]) -> None:
    """Draw and score what the configs and the command line ask for."""
    Sweep(args).run()


class Sweep(Command):
    """Draws all settings that the configs and the command line `args` ask for, and scores them.

    Each setting has a folder of pictures below `trainer.default_root_dir`, as `maskst predict` writes it, and only
    what is missing is drawn: a sweep that was stopped goes on. The scores and the report lie in its folder `scores`.

    Raises:
        ValueError: `sweep` is faulty, or its scores could not be written; nothing has been drawn then.
    """

    model: StyleTransfer
    datamodule: StyleReferences
    command, usage, description = "sweep", "--config FILE [--config FILE ...]", _DESCRIPTION

    def __init__(self, args: list[str]) -> None:
        more = {"prog": f"maskst {self.command}", "description": self.description}
        layers = "defaults/sweep", "backbone/miniature"
        super().__init__(
            args,
            StyleTransfer,
            StyleReferences,
            parser_kwargs=parser_kwargs(self.command, self.usage, *layers, **more),
            subclass_mode_model=True,
            subclass_mode_data=True,
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The settings, and what scores them."""
        parser.add_argument("--sweep", type=list[SweptMethod], required=True, help=_HELP)
        parser.add_lightning_class_args(PredictionScores, "scoring")
        # A backbone's config names its judge here, which is asked where `scoring.judges` says nothing.
        parser.add_class_arguments(AlignmentScores, "scores")
        add_own(parser, "writer")

    def options(self, config: Any) -> dict[str, Any]:
        """One trainer draws and scores; the settings and the folder of the scores are checked before."""
        root = (config.trainer.default_root_dir or "outputs/{command}").replace("/{method}", "")
        folder = Path(root.replace("{command}", "sweep"))
        swept = variants(config.sweep, self.model.sampling)
        self.variants = {str(folder / variant.name): variant for variant in swept}
        self.scores: PredictionScores = config.scoring
        self.scores.folder = scores = self.scores.folder or str(folder / "scores")
        if self.config.scoring.judges is None and config.scores.judge.model != "miniature":
            self.scores.judges = [config.scores.judge]
        self.scores.find_judges()
        check_sources(Path(scores), [os.path.realpath(folder) for folder in self.variants])
        if len(self.writers) != 1:
            found = len(self.writers)
            raise ValueError(f"`writer`: a sweep scores what one PredictionWriter writes, got {found} of them.")
        owned = {os.path.realpath(scores): "scoring.folder", os.path.realpath(folder): "trainer.default_root_dir"}
        self.own = [OwnFolder(place, argument) for place, argument in owned.items()]
        return {"default_root_dir": str(folder), "logger": False}

    def announced(self, pictures: int) -> str:
        """Which pictures of a setting are drawn, or that all are scored."""
        if self.trainer.testing:
            return scoring(self.trainer, pictures, str(self.scores.folder))
        return self._setting + drawing(self.model, self.trainer, pictures, "they come to", str(self.writers[0].folder))

    def run(self) -> None:
        """Draws, and then scores; fails at last where pictures are missing."""
        with self.taken():
            self.failures: dict[str, str] = {}
            self.draw()
            self.score()
            refuse(self.trainer, self.failures)

    def draw(self) -> None:
        """The pictures of all settings; those that lie there already are kept."""
        drawn, seconds, count, [writer] = 0, 0.0, len(self.variants), self.writers
        for place, (folder, variant) in enumerate(self.variants.items(), start=1):
            left = f", about {clock(seconds / drawn * (count - place + 1))} left" if drawn else ""
            self._setting = f"Setting {place} of {count}{left}: " if count > 1 else ""
            begun = time.monotonic()
            writer.folder = self.datamodule.finished_in = folder
            self.model.use(variant.condition, variant.sampling)
            self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
            self.failures |= {f"{variant.name}/{name}": why for name, why in writer.failures.items()}
            if writer.written:
                drawn, seconds = drawn + 1, seconds + time.monotonic() - begun

    def score(self) -> None:
        """Scores, tables and report of everything that was asked for, and the masks of some references."""
        # Here, for they take pandas and matplotlib, which drawing need not wait for.
        from scripts.report.masks import write_profiles
        from scripts.scoring import report

        drawn, scores = self.datamodule, Path(self.scores.folder or "")
        if self.scores.contents is None:
            self.scores.contents = drawn.content_prompts or None
        pictures = list(self._pictures())
        if not pictures:
            return
        folders = list(dict.fromkeys(str(path.parent) for path in pictures))
        predictions = Predictions(folders, drawn.reference_roots, num_workers=drawn.num_workers)
        predictions.keep_only(pictures)  # others may lie there, drawn for other references or prompts
        self.trainer.test(Scoring(), datamodule=predictions, verbose=False)
        if self.trainer.is_global_zero:
            module = self.model.to(self.trainer.strategy.root_device)
            write_profiles(module, drawn, scores, spread(drawn.test_set.references, _SHOWN))
        report(self.trainer, str(scores))

    def _pictures(self) -> Iterator[Path]:
        """This sweep's pictures, but for those that could not be made."""
        wanted = [job.identity for job in self.datamodule.predict_jobs]
        for lying in map(finished_pictures, self.variants):
            yield from (lying[identity].path for identity in wanted if identity in lying)
