"""The project's own callbacks: each has a key of its own, so that those of `trainer.callbacks` join them."""

import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace
from jsonargparse.typing import import_object
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor, ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser

from callbacks.alignment_scores import AlignmentScores
from callbacks.image_grid import ImageGrid
from callbacks.prediction_scores import PredictionScores
from callbacks.prediction_writer import PredictionWriter
from callbacks.throughput import Throughput
from scripts.stop_callback import StopOnSignal

OWN: dict[str, type[Callback]] = {
    "image_grid": ImageGrid,
    "checkpoint": ModelCheckpoint,
    "learning_rate": LearningRateMonitor,
    "throughput": Throughput,
    "writer": PredictionWriter,
}
_ALWAYS: dict[str, type[Callback]] = {"scores": AlignmentScores, "scoring": PredictionScores}


def add_own(parser: LightningArgumentParser, *keys: str) -> None:
    """Add the keys of callbacks that are there unless they are null, by default those of a config's defaults."""
    for key in keys:
        name = OWN[key].__name__
        text = f"{name} of every run beside those of trainer.callbacks; `--{key} null` switches it off, and a {name} "
        parser.add_argument(f"--{key}", type=OWN[key] | None, help=f"{text} in trainer.callbacks configures it")


def join_own(config: Namespace, given: Namespace) -> None:
    """Let what `trainer.callbacks` says of one of the project's own configure that one; the others stay a list.

    Args:
        config: the parsed configuration, which is changed.
        given: the same without the defaults of arguments.
    """
    others, left = [], {key: own for key in (*OWN, *_ALWAYS) if (own := config.get(key)) is not None}
    said = as_list(given.get("trainer.callbacks"))
    for entry, as_given in zip(as_list(config.trainer.callbacks), said, strict=True):
        arguments = as_given.get("init_args") or Namespace()
        kind = import_object(entry.class_path)
        key = next((key for key, own in left.items() if issubclass(_class_of(key, own), kind)), None)
        if key is None or (key == "scores" and arguments.get("suffix")):
            others.append(entry)
        else:
            own = left.pop(key)
            own.get("init_args", own).update(arguments)
    config.trainer.callbacks = others or None


def callbacks_of(config: Namespace) -> list[Callback]:
    """What heeds signals, the project's own callbacks, those of `trainer.callbacks`, and a progress bar for a log."""
    trainer, listed = config.trainer, as_list(config.trainer.callbacks)
    own = [config[key] for key in OWN if config.get(key) is not None]
    # A class derived from one of them takes its place.
    own = [each for each in own if not any(type(each) in type(other).__mro__[1:] for other in listed)]
    switched_off = [
        *([Checkpoint] if trainer.enable_checkpointing is False else []),
        *([LearningRateMonitor] if trainer.logger is False else []),
    ]
    own = [each for each in own if not isinstance(each, tuple(switched_off))]
    return with_progress_bar([StopOnSignal(), *own, *listed], trainer.enable_progress_bar)


def with_progress_bar(configured: Sequence[Callback], enabled: bool | None = None) -> list[Callback]:
    """The configured callbacks, with a progress bar for a log where the output is one."""
    has_bar = enabled is False or any(isinstance(callback, ProgressBar) for callback in configured)
    return list(configured) if has_bar or sys.stdout.isatty() else [*configured, TQDMProgressBar(refresh_rate=10)]


def as_list(found: Any) -> list[Any]:
    """A list of what may be one or none."""
    return found if isinstance(found, list) else [] if found is None else [found]


def _class_of(key: str, own: Namespace) -> type[Callback]:
    known: type[Callback] = import_object(own.class_path) if "class_path" in own else _ALWAYS[key]
    return known
