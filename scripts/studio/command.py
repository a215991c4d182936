"""`maskst studio`: loads a backbone and its judge once, and serves the page."""

from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from callbacks.alignment_scores import AlignmentScores
from datamodules.style_references import StyleReferences
from lightning_modules.style_transfer import StyleTransfer
from scripts.command import Command, parser_kwargs
from scripts.studio.server import listening, serve
from scripts.studio.session import Studio

_DESCRIPTION = "A page in the browser that transfers styles and compares methods, on this machine alone."
_MISSING = "`maskst studio` needs Gradio, which is not installed: pip install -e '.[studio]'"


def main(args: list[str]) -> None:
    """Serve the page until it is stopped."""
    if find_spec("gradio") is None:
        raise RuntimeError(_MISSING)
    StudioCommand(args).run()


class StudioCommand(Command):
    """The studio that the configs and the command line `args` ask for.

    Raises:
        OSError: the address cannot be had.
    """

    model: StyleTransfer
    datamodule: StyleReferences

    def __init__(self, args: list[str]) -> None:
        self.further = _without(args, "host", "port")
        more = {"prog": "maskst studio", "description": _DESCRIPTION}
        usage = "[--config FILE ...] [--host 127.0.0.1] [--port 7860]"
        super().__init__(
            args,
            StyleTransfer,
            StyleReferences,
            parser_kwargs=parser_kwargs("studio", usage, "defaults/studio", "backbone/miniature", **more),
            subclass_mode_model=True,
            subclass_mode_data=True,
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Where the page is, and who scores."""
        parser.add_argument("--host", type=str, default="127.0.0.1", help="address; 0.0.0.0 lets other machines in")
        parser.add_argument("--port", type=int, default=7860, help="0 takes any that is free")
        parser.add_class_arguments(AlignmentScores, "scores")

    def options(self, config: Any) -> dict[str, Any]:
        """The trainer says where and how precisely pictures are drawn; it writes nothing."""
        self.own = []
        return {"logger": False, "enable_checkpointing": False, "default_root_dir": "."}

    def run(self) -> None:
        """Serve, and load meanwhile."""
        config = self.config_init
        with listening(config.host, config.port) as listener, TemporaryDirectory(prefix="maskst-") as folder:
            judge = config.scores.judge
            judge.find()
            how = self.datamodule.generation_batch_size, self.datamodule.vocabulary, self.further
            studio = Studio(self.model, judge, self.trainer, *how)
            about = f"{Path(self.model.backbone.model).name}, {studio.device}"
            serve(studio, listener, Path(folder).resolve(), about)


def _without(args: list[str], *names: str) -> list[str]:
    """The arguments without some options and their values."""
    kept, skip = [], False
    for argument, following in zip_longest(args, args[1:], fillvalue=""):
        option, is_whole, _ = argument.partition("=")
        is_ours = option.startswith("--") and option.removeprefix("--") in names
        if not skip and not is_ours:
            kept.append(argument)
        skip = is_ours and not is_whole and not following.startswith("--")
    return kept
