"""`fit`, `validate` and `predict` as LightningCLI: models, data and callbacks meet by their YAML names."""

from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_info

# Imported for the YAMLs, where a class needs no module's name once it is known.
import datamodules.miniature.captioned_images  # noqa: F401
import lightning_modules.adapter_training
import lightning_modules.conditions.trained
import lightning_modules.styleshot_training  # noqa: F401
from callbacks.alignment_scores import AlignmentScores
from callbacks.own_folder import OwnFolder
from callbacks.ranks import refuse
from datamodules.files import write_text
from datamodules.style_references import StyleReferences
from lightning_modules.checkpoints import WholeCheckpoints, newest_readable
from lightning_modules.style_transfer import StyleModule
from scripts.announced import drawing, training
from scripts.command import OWN, Command, add_own, parser_kwargs
from scripts.terminal import TERMINAL

_DEFAULTS = {"fit": "fit", "validate": "evaluate", "predict": "predict"}
_USAGE = "--config FILE [--config FILE ...]"


def main(args: list[str]) -> None:
    """Run a command with what the configs and the command line say."""
    Commands(args)


class WholeConfig(SaveConfigCallback):
    """Writes `config.yaml`, whole or not at all, in place of an earlier one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the run's config into its folder, once."""
        folder = trainer.log_dir  # a broadcast: on every rank
        if trainer.is_global_zero and not self.already_saved and folder is not None:
            write_text(Path(folder) / self.config_filename, self.parser.dump(self.config, skip_none=False))
        self.already_saved = True


class Commands(Command):
    """Runs a subcommand with what the configs and the command line `args` say.

    The first two layers of configs are always `configs/defaults/<subcommand>.yaml` and the miniature's backbone.

    Raises:
        ValueError: `fit` would write into the folder of another run.
    """

    def __init__(self, args: list[str]) -> None:
        parsers = {
            command: parser_kwargs(command, _USAGE, f"defaults/{layer}", "backbone/miniature")
            for command, layer in _DEFAULTS.items()
        }
        super().__init__(
            args,
            StyleModule,
            StyleReferences,
            save_config_callback=WholeConfig,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "maskst", **parsers},
            subclass_mode_model=True,
            subclass_mode_data=True,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Those of the Trainer but `test`, which scores pictures that lie in folders: scripts/scoring.py."""
        return {name: skipped for name, skipped in LightningCLI.subcommands().items() if name in _DEFAULTS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Own callbacks have places of their own, so that a backbone's config can name the judge of the scores."""
        parser.add_lightning_class_args(AlignmentScores, "scores")
        add_own(parser, *OWN)

    def options(self, config: Any) -> dict[str, Any]:
        """One folder holds all that a run of a method writes."""
        trainer = config.trainer
        folder = (trainer.default_root_dir or "outputs").replace("{method}", self.model.name)
        folder = folder.replace("{command}", _DEFAULTS[str(self.subcommand)])
        self.own = [OwnFolder(folder, "trainer.default_root_dir", self._check_new)]
        options: dict[str, Any] = {"default_root_dir": folder}
        for writer in self.writers:
            writer.folder = writer.folder or folder
        if not any(isinstance(callback, Checkpoint) for callback in self.callbacks):
            options["enable_checkpointing"] = False  # else Lightning would add one of its own
        if trainer.logger in (None, True):
            options["logger"] = TensorBoardLogger(folder, name="", version="", default_hp_metric=False)
        if self.subcommand == "predict":
            self._prepare_pictures()
        else:
            options["plugins"] = _with_checkpoints(trainer.plugins)
        return options | (self._fit_options(trainer) if self.subcommand == "fit" else {})

    def announced(self, pictures: int) -> str:
        """Which pictures are drawn, by what, and where they come to lie."""
        if self.subcommand != "predict":
            return drawing(self.model, self.trainer, pictures, "their scores come to", self.trainer.default_root_dir)
        return drawing(self.model, self.trainer, pictures, "they come to", *(str(each.folder) for each in self.writers))

    def _prepare_pictures(self) -> None:
        """What a prediction writes lies in the folder of its writer, and what is finished there is not drawn again."""
        # Every picture's settings are written with it; the config of a run that is refused must not be.
        self.save_config_callback = None
        for writer in self.writers:
            writer.own = OwnFolder(str(writer.folder), "folder")
            self.own = [writer.own]
            self.datamodule.finished_in = writer.folder

    def _fit_options(self, trainer: Any) -> dict[str, Any]:
        """Evaluations counted in steps of the optimizer, and the scaled loss that float16 needs."""
        options: dict[str, Any] = {}
        interval = trainer.val_check_interval
        if trainer.check_val_every_n_epoch is None and isinstance(interval, int):
            options["val_check_interval"] = interval * trainer.accumulate_grad_batches  # Lightning counts batches
        if trainer.precision is None and self.model.backbone.dtype == "float16":
            options["precision"] = "16-mixed"
        return options

    def before_fit(self) -> None:
        """Evaluate step 0 of a new run."""
        rank_zero_info(training(self.model, self.trainer))
        if self._is_new:
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)

    def after_fit(self) -> None:
        """Make the evaluation of the last step again, in which a signal ended the fit: Lightning has no step left."""
        progress = self.trainer.fit_loop.epoch_loop.val_loop.batch_progress.total
        if progress.ready > progress.completed:
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        rank_zero_info(f"Step {self.trainer.global_step} is done: all is in `{self.trainer.default_root_dir}`.")

    def after_validate(self) -> None:
        """Say where the scores are."""
        rank_zero_info(f"The scores are in `{self.trainer.default_root_dir}`.")

    def after_predict(self) -> None:
        """Fail where pictures are missing."""
        for writer in self.writers:
            refuse(self.trainer, writer.failures)

    @property
    def _is_new(self) -> bool:
        """Whether nothing goes on, neither from a checkpoint nor from what Lightning wrote for SLURM's requeue."""
        return self._resumed is None and not any(Path(self.trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"))

    def _check_new(self) -> None:
        """Protect a run that is there already."""
        folder = Path(self.trainer.default_root_dir)
        if self.subcommand == "fit" and self._is_new and any(folder.glob("checkpoints/*.ckpt")):
            raise ValueError(
                f"`trainer.default_root_dir`: `{folder}` holds the checkpoints of a fit. Give `--ckpt_path last` to go "
                "on with it (nothing is repeated), another folder for another run, or remove this one."
            )

    @cached_property
    def _resumed(self) -> str | None:
        """The checkpoint that was asked for; `last` is the newest that can be read."""
        asked: str | None = self._get(self.config_init, "ckpt_path")
        if asked != "last":
            return asked
        newest = newest_readable(Path(self.trainer.default_root_dir) / "checkpoints")
        return None if newest is None else str(newest)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        if kwargs.get("ckpt_path") == "last":
            kwargs["ckpt_path"] = self._resumed or "last"  # of which Lightning says that there is none
        if subcommand == "validate" and TERMINAL.quiet:
            kwargs["verbose"] = False
        return kwargs

    def _run_subcommand(self, subcommand: str) -> None:
        with self.taken():
            super()._run_subcommand(subcommand)


def _with_checkpoints(configured: Any) -> list[Any]:
    """The configured plugins, with whole checkpoints unless something else writes them."""
    plugins = configured if isinstance(configured, list) else [configured] if configured else []
    own = [] if any(isinstance(plugin, CheckpointIO) for plugin in plugins) else [WholeCheckpoints()]
    return [*plugins, *own]
