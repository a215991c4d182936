"""What the commands of LightningCLI have in common: layers of defaults, parsing, own callbacks and own folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from signal import SIGTERM
from typing import Any

import yaml
from jsonargparse import Namespace
from jsonargparse.typing import import_object
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from typing_extensions import override

# Imported for the YAMLs, where a class needs no module's name once it is known.
import datamodules.miniature.references
import datamodules.miniature.style_bench
import datamodules.pictures  # noqa: F401
import scripts.yaml_files  # noqa: F401  # for the loader that it gives to all parsers
from callbacks.alignment_scores import AlignmentScores
from callbacks.evaluation import fitting
from callbacks.image_grid import ImageGrid
from callbacks.own_folder import OwnFolder
from callbacks.prediction_scores import PredictionScores
from callbacks.prediction_writer import PredictionWriter
from callbacks.throughput import Throughput
from scripts.announced import with_bar
from scripts.paths import with_home
from scripts.stopping import STOP
from scripts.terminal import TERMINAL

_GOES_ON = "`--ckpt_path last` with the same arguments goes on from there."
CONFIGS = Path(__file__).parents[1] / "configs"
OWN: dict[str, type[Callback]] = {
    "image_grid": ImageGrid,
    "checkpoint": ModelCheckpoint,
    "learning_rate": LearningRateMonitor,
    "throughput": Throughput,
    "writer": PredictionWriter,
}
"""The own callbacks by their keys: they are there beside those of `trainer.callbacks`, unless they are null."""
_ALWAYS: dict[str, type[Callback]] = {"scores": AlignmentScores, "scoring": PredictionScores}
# Some of Lightning's callbacks have such defaults, which the config of a run holds.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, choice: dumper.represent_data(choice.value))


class Command(LightningCLI):
    """What `maskst` does with the command line `args`, whatever the command."""

    own: list[OwnFolder]
    """What the run writes into, taken while it runs."""

    def __init__(self, args: list[str], model: type[Any], data: type[Any], **options: Any) -> None:
        defaults = {"save_config_callback": None, "seed_everything_default": 42}
        super().__init__(
            model,
            data,
            # The datamodules share their samples out among the processes by themselves.
            trainer_defaults={"use_distributed_sampler": False},
            auto_configure_optimizers=False,
            args=args,
            **defaults | options,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse `args`, and let callbacks that are named twice be one."""
        # Not by Lightning, which warns that a program has a command line as well.
        assert isinstance(args, list)
        self.config: Any = with_home(parser.parse_args(args))
        command = self.config.get("subcommand")
        layers = [f"--config={file}" for file in self._parser(command).default_config_files or ()]
        named = args.index(command) + 1 if command else 0
        args = [*args[:named], *layers, *args[named:]]
        given: Any = with_home(parser.parse_args(args, defaults=False, _skip_validation=True))
        _join_own(*(each[command] if command else each for each in (self.config, given)))

    def _parse_ckpt_path(self) -> None:
        """Let the command line win: by default a checkpoint's hyper-parameters would replace what was asked for."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, with what heeds signals, the folders that are taken, and all callbacks."""
        config = self.config_init.get(str(self.subcommand), self.config_init)
        self.callbacks = with_bar(_callbacks_of(config), config.trainer, self.model, self.announced)
        options = self.options(config)
        if TERMINAL.quiet:
            options |= {"enable_progress_bar": False, "enable_model_summary": False}
        return super().instantiate_trainer(callbacks=[*self.own, *self.callbacks], **options, **kwargs)

    def options(self, config: Any) -> dict[str, Any]:
        """Arguments of the trainer by the command's `config`, whose classes are made; sets `own`."""
        raise NotImplementedError

    def announced(self, pictures: int) -> str:
        """What is about to be done with so many pictures, in one line."""
        raise NotImplementedError

    @property
    def writers(self) -> list[PredictionWriter]:
        """Those that write the pictures of a prediction."""
        return [callback for callback in self.callbacks if isinstance(callback, PredictionWriter)]

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Nobody else writes into the folders of this run meanwhile."""
        try:
            for own in self.own:
                own.take_before(self.trainer)
            yield
        finally:
            for own in self.own:
                own.release()


class StopOnSignal(Callback):
    """Ends a run after a signal, which it takes back from Lightning: that ends with 0, and its ranks may wait for ever.

    A fit ends behind its step, on all ranks together, or in its evaluation, which is made again when the fit goes on;
    `last.ckpt` has that step. All other runs end at once.
    """

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Pass signals on to the processes that Lightning started."""
        STOP.children = getattr(trainer.strategy.launcher, "procs", [])

    def take(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals."""
        STOP.take()

    on_predict_start = on_test_start = take

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; from now on a step is finished first."""
        STOP.take()
        STOP.deferred = True

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and end if any rank was stopped, and no gradient is being accumulated."""
        if not STOP.process or not trainer.strategy.reduce_boolean_decision(bool(STOP.number), all=False):
            return
        STOP.number = STOP.number or SIGTERM
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        assert fetcher is not None
        # Where an evaluation is due, it ends the run: Lightning goes on behind it from a checkpoint of this place.
        if not loop._should_accumulate() and not loop._should_check_val_fx(fetcher):
            self._save(trainer)
            STOP.raise_if_asked()

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; an evaluation ends at once."""
        STOP.take()
        STOP.deferred = False
        STOP.raise_if_asked()

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a step is finished first, and what is written of the evaluation."""
        STOP.deferred = fitting(trainer)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All is saved."""
        STOP.deferred, STOP.way_on = False, "All steps were done and are saved."

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save where the run ended within an evaluation of a fit, so that this is made again."""
        STOP.deferred = False
        if STOP.number and fitting(trainer) and trainer.validating:
            progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
            progress.reset()
            progress.increment_ready()
            progress.increment_started()  # which is how Lightning knows an evaluation that has begun
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        """Write `last.ckpt` on the first rank; the others may be elsewhere, so that nobody waits for them."""
        keeper = trainer.checkpoint_callback
        if not isinstance(keeper, ModelCheckpoint) or keeper.dirpath is None:
            STOP.way_on = "No checkpoint was written, for there is no `checkpoint` callback."
            return
        path = Path(keeper.dirpath) / f"{keeper.CHECKPOINT_NAME_LAST}{keeper.FILE_EXTENSION}"
        # The evaluation of the very last step, made again, writes no checkpoint.
        is_last = trainer.validating and trainer.global_step == trainer.max_steps
        named = [keeper.format_checkpoint_name(keeper._monitor_candidates(trainer))] if is_last else []
        keeper.last_model_path = str(path)  # or the next one would be `last-v1.ckpt`
        content = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        for each in (str(path), *named):
            trainer.strategy.save_checkpoint(content, each)
        STOP.way_on = f"`{path}` has step {trainer.global_step}: {_GOES_ON}"


def parser_kwargs(command: str, usage: str, *layers: str, **more: str) -> dict[str, Any]:
    """Arguments of a command's parser, whose `layers` of configs lie beneath those that are given."""
    # The usage stands in place of a list of all options, which would hide the message of an error behind a page.
    files = [str(CONFIGS / f"{layer}.yaml") for layer in layers]
    return {"usage": f"maskst {command} {usage} [--KEY VALUE ...]", "default_config_files": files, **more}


def add_own(parser: LightningArgumentParser, *keys: str) -> None:
    """Add the keys of own callbacks, by default those of a config's defaults."""
    for key in keys:
        name = OWN[key].__name__
        text = f"{name} of every run beside those of trainer.callbacks; `--{key} null` switches it off, and a {name} "
        parser.add_argument(f"--{key}", type=OWN[key] | None, help=f"{text} in trainer.callbacks configures it")


def _join_own(config: Namespace, given: Namespace) -> None:
    """Let what `trainer.callbacks` says of one of the project's own configure that one; the others stay a list.

    `given` is `config` without the defaults of arguments.
    """
    others, left = [], {key: own for key in (*OWN, *_ALWAYS) if (own := config.get(key)) is not None}
    said = _as_list(given.get("trainer.callbacks"))
    for entry, as_given in zip(_as_list(config.trainer.callbacks), said, strict=True):
        arguments = as_given.get("init_args") or Namespace()
        kind = import_object(entry.class_path)
        known = {key: _ALWAYS.get(key) or import_object(own.class_path) for key, own in left.items()}
        key = next((key for key, own in known.items() if issubclass(own, kind)), None)
        if key is None or (key == "scores" and arguments.get("suffix")):
            others.append(entry)
        else:
            own = left.pop(key)
            own.get("init_args", own).update(arguments)
    config.trainer.callbacks = others or None


def _callbacks_of(config: Namespace) -> list[Callback]:
    """What heeds signals, the project's own callbacks, and those of `trainer.callbacks`."""
    trainer, listed = config.trainer, _as_list(config.trainer.callbacks)
    off = {Checkpoint: trainer.enable_checkpointing, LearningRateMonitor: trainer.logger}
    switched_off = tuple(kind for kind, switch in off.items() if switch is False)
    own = [own for key in OWN if (own := config.get(key)) is not None and not isinstance(own, switched_off)]
    # A class derived from one of them takes its place.
    own = [each for each in own if not any(type(each) in type(other).__mro__[1:] for other in listed)]
    return [StopOnSignal(), *own, *listed]


def _as_list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [] if found is None else [found]
