"""`fit`, `validate` and `predict` as LightningCLI: models, data and callbacks meet by their YAML names."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

# Imported for the YAMLs, where a class needs no module's name once it is known.
import datamodules.miniature_captioned_images
import datamodules.miniature_references
import datamodules.miniature_style_bench  # noqa: F401
import lightning_modules.adapter_reconstruction
import lightning_modules.conditions.trained
import lightning_modules.content_fusion_reconstruction
import lightning_modules.style_encoder_reconstruction  # noqa: F401
from callbacks.alignment import AlignmentScores
from callbacks.failures import refuse
from callbacks.prediction_writer import PredictionWriter
from datamodules.style_references import StyleReferences
from lightning_modules.style_transfer import StyleTransfer
from scripts.defaults import CONFIGS, TRAINER_DEFAULTS, Command
from scripts.own_callbacks import OWN, add_own, callbacks_of

_DEFAULTS = {"fit": "fit", "validate": "evaluate", "predict": "predict"}
_METHOD, _COMMAND = "{method}", "{command}"


class Commands(Command):
    """Runs a subcommand with what the configs and the command line `args` say.

    The first two layers of configs are always `configs/defaults/<subcommand>.yaml` and the miniature's backbone.

    Raises:
        ValueError: `fit` would write into the folder of another run.
    """

    def __init__(self, args: list[str]) -> None:
        super().__init__(
            StyleTransfer,
            StyleReferences,
            save_config_kwargs={"overwrite": True},
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=42,
            parser_kwargs={"prog": "maskst", **{command: _parser_kwargs(command) for command in _DEFAULTS}},
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Those of the Trainer but `test`, which scores pictures that lie in folders: scripts/scoring.py."""
        return {name: skipped for name, skipped in LightningCLI.subcommands().items() if name in _DEFAULTS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Own callbacks have places of their own, so that a backbone's config can name the judge of the scores."""
        parser.add_lightning_class_args(AlignmentScores, "scores")
        add_own(parser, *OWN)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, whose one folder holds all that a run of a method writes."""
        config = self._get(self.config_init, "trainer")
        folder = (config.default_root_dir or "outputs").replace(_METHOD, self.model.name)
        folder = folder.replace(_COMMAND, _DEFAULTS[str(self.subcommand)])
        kwargs["default_root_dir"] = folder
        kwargs["callbacks"] = callbacks_of(self.config_init[self.subcommand])
        for writer in kwargs["callbacks"]:
            if isinstance(writer, PredictionWriter):
                writer.folder = writer.folder or folder
        if not any(isinstance(callback, Checkpoint) for callback in kwargs["callbacks"]):
            kwargs["enable_checkpointing"] = False  # else Lightning would add one of its own
        if self.subcommand == "fit":
            kwargs |= self._fit_options(config)
        if config.logger in (None, True):
            kwargs["logger"] = TensorBoardLogger(folder, name="", version="", default_hp_metric=False)
        if self.subcommand == "predict":
            # Every picture's settings are written with it; the config of a run that is refused must not be.
            self.save_config_callback = None
        return super().instantiate_trainer(**kwargs)

    def _fit_options(self, config: Any) -> dict[str, Any]:
        """Evaluations counted in steps of the optimizer, and the scaled loss that float16 needs."""
        options: dict[str, Any] = {}
        interval = config.val_check_interval
        if config.check_val_every_n_epoch is None and isinstance(interval, int):
            options["val_check_interval"] = interval * config.accumulate_grad_batches  # Lightning counts batches
        if config.precision is None and self.model.backbone.dtype == "float16":
            options["precision"] = "16-mixed"
        return options

    def before_fit(self) -> None:
        """Protect a run that is there already; evaluate step 0 of a new one."""
        resumed, folder = self._get(self.config_init, "ckpt_path"), Path(self.trainer.default_root_dir)
        last = folder / "checkpoints" / "last.ckpt"
        if any(folder.glob("hpc_ckpt_*.ckpt")):  # which Lightning wrote for SLURM's requeue, and goes on from
            return
        if resumed is None and last.exists():
            raise ValueError(
                f"`trainer.default_root_dir`: `{folder}` holds the checkpoints of a fit. Give `--ckpt_path last` to go "
                "on with it (nothing is repeated), another folder for another run, or remove this one."
            )
        if resumed is None or (resumed == "last" and not last.exists()):
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)

    def after_predict(self) -> None:
        """Fail where pictures are missing."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, PredictionWriter):
                refuse(self.trainer, callback.failures)

    def after_fit(self) -> None:
        """Make the evaluation of the last step again, in which a signal ended the fit: Lightning has no step left."""
        progress = self.trainer.fit_loop.epoch_loop.val_loop.batch_progress.total
        if progress.ready > progress.completed:
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)


def _parser_kwargs(command: str) -> dict[str, Any]:
    layers = CONFIGS / "defaults" / f"{_DEFAULTS[command]}.yaml", CONFIGS / "backbone" / "miniature.yaml"
    return {
        "default_config_files": [str(layer) for layer in layers],
        # In place of a list of all options, which would hide the message of an error behind a page.
        "usage": f"maskst {command} --config FILE [--config FILE ...] [--KEY VALUE ...]",
    }
