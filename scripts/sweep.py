"""`maskst sweep`: many settings drawn by one process, whose networks and encodings they share, and then scored."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info

# Imported for the YAMLs, where a class needs no module's name once it is known.
import datamodules.miniature.references
import datamodules.miniature.style_bench  # noqa: F401
from callbacks.alignment_scores import AlignmentScores
from callbacks.own_folder import OwnFolder
from callbacks.prediction_folder import picture_name
from callbacks.prediction_scores import PredictionScores
from callbacks.prediction_writer import PredictionWriter
from callbacks.ranks import refuse
from callbacks.scoring.table import check_sources
from datamodules.jobs import spread
from datamodules.style_references import StyleReferences
from lightning_modules.style_transfer import StyleTransfer
from scripts.defaults import CONFIGS, TRAINER_DEFAULTS, Command
from scripts.grids import Grid, Variant, variants
from scripts.own_callbacks import add_own, callbacks_of
from scripts.report.masks import write_profiles
from scripts.scoring import report, score
from scripts.times import clock

_SHOWN = 6  # masks in the report
_HELP = (
    "what is drawn: a list of grids such as {condition: InstantStyle, arguments: {strength: [1.0, 0.5]}, sampling: "
    "{scale: [1.0, 0.5]}}, with a class of lightning_modules.conditions, values of its arguments and of keys of "
    "--model.sampling; of lists every combination"
)
_DESCRIPTION = "Draws many settings by one process that goes on where it was stopped, then scores them in a report."


class Sweep(Command):
    """Draws all settings that the configs and the command line `args` ask for, and scores them.

    Each setting has a folder of pictures below `trainer.default_root_dir`, as `maskst predict` writes it, and only
    what is missing is drawn: a sweep that was stopped goes on. The scores and the report lie in its folder `scores`.

    Raises:
        ValueError: `sweep` is faulty, or its scores could not be written; nothing has been drawn then.
    """

    model: StyleTransfer
    datamodule: StyleReferences

    def __init__(self, args: list[str]) -> None:
        layers = CONFIGS / "defaults" / "sweep.yaml", CONFIGS / "backbone" / "miniature.yaml"
        super().__init__(
            StyleTransfer,
            StyleReferences,
            save_config_callback=None,  # every picture's settings are written with it
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=42,
            parser_kwargs={
                "prog": "maskst sweep",
                "description": _DESCRIPTION,
                "usage": "maskst sweep --config FILE [--config FILE ...] [--KEY VALUE ...]",
                "default_config_files": [str(layer) for layer in layers],
            },
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            run=False,
            args=args,
        )

    def run(self) -> None:
        """Draws, and then scores; fails at last where pictures are missing."""
        try:
            for own in self._own:
                own.take_before(self.trainer)
            self.draw()
            self.score()
            refuse(self.trainer, self.failures)
        finally:
            for own in self._own:
                own.release()

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The settings, and what scores them."""
        parser.add_argument("--sweep", type=list[Grid], required=True, help=_HELP)
        parser.add_lightning_class_args(PredictionScores, "scoring")
        # A backbone's config names its judge here, which is asked where `scoring.judges` says nothing.
        parser.add_class_arguments(AlignmentScores, "scores")
        add_own(parser, "writer")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, which draws and scores; the settings and the folder of the scores are checked before."""
        self.variants = variants(self.config_init.sweep, self.model.sampling)
        config = self.config_init.trainer
        root = (config.default_root_dir or "outputs/{command}").replace("/{method}", "")
        self.folder = Path(root.replace("{command}", "sweep"))
        self.scores = self._scores()
        kwargs["default_root_dir"] = str(self.folder)
        folders = {os.path.realpath(self.scores.folder or ""): "scoring.folder"}
        folders[os.path.realpath(self.folder)] = "trainer.default_root_dir"
        self._own = [OwnFolder(folder, argument) for folder, argument in folders.items()]
        kwargs["callbacks"] = [*self._own, *callbacks_of(self.config_init)]
        self.writer = self._writer(kwargs["callbacks"])
        kwargs["logger"] = False
        return super().instantiate_trainer(**kwargs)

    def _writer(self, callbacks: Sequence[Callback]) -> PredictionWriter:
        writers = [callback for callback in callbacks if isinstance(callback, PredictionWriter)]
        if len(writers) != 1:
            raise ValueError(f"`writer`: a sweep scores what one PredictionWriter writes, got {len(writers)} of them.")
        return writers[0]

    def _scores(self) -> PredictionScores:
        """What scores, with the folder, contents and judge of this sweep where nothing else was asked for."""
        scores: PredictionScores = self.config_init.scoring
        scores.folder = scores.folder or str(self.folder / "scores")
        judge = self.config_init.scores.judge
        if self.config.scoring.judges is None and judge.model != "miniature":
            scores.judges = [judge]
        scores.find_judges()
        check_sources(Path(scores.folder), [os.path.realpath(folder) for folder in self._folders])
        return scores

    @property
    def _folders(self) -> list[str]:
        return [str(self.folder / variant.name) for variant in self.variants]

    def draw(self) -> None:
        """The pictures of all settings; those that lie there already are kept."""
        drawn, seconds, count = 0, 0.0, len(self.variants)
        self.failures: dict[str, str] = {}
        for place, variant in enumerate(self.variants, start=1):
            left = f", about {clock(seconds / drawn * (count - place + 1))} left" if drawn else ""
            rank_zero_info(f"Setting {place} of {count}{left}: {variant.name}")
            begun = time.monotonic()
            self._use(variant)
            self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
            self.failures |= {f"{variant.name}/{name}": why for name, why in self.writer.failures.items()}
            if self.writer.written:
                drawn, seconds = drawn + 1, seconds + time.monotonic() - begun

    def _use(self, variant: Variant) -> None:
        self.writer.folder = str(self.folder / variant.name)
        self.model.use(variant.condition, variant.sampling)

    def score(self) -> None:
        """Scores, tables and report of everything that was asked for, and the masks of some references."""
        if self.scores.contents is None:
            self.scores.contents = self.datamodule.content_prompts
        pictures = self._pictures()
        if not pictures:
            return
        score(self.trainer, self.datamodule, pictures)
        if self.trainer.is_global_zero:
            module = self.model.to(self.trainer.strategy.root_device)
            shown = spread(self.datamodule.test_set.references, _SHOWN)
            write_profiles(module, self.datamodule, Path(self.scores.folder or ""), shown)
        report(self.trainer, self.scores.folder)

    def _pictures(self) -> dict[str, list[str]]:
        """The names of this sweep's pictures by folder."""
        jobs, found = self.datamodule.predict_jobs, {}
        for variant, folder in zip(self.variants, self._folders, strict=True):
            self._use(variant)
            names = [picture_name(job, self.model.name) for job in jobs]
            found[folder] = [name for name in names if f"{variant.name}/{name}" not in self.failures]
        return {folder: names for folder, names in found.items() if names}
