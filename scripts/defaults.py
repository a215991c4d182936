"""What all commands have in common."""

from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

import scripts.yaml_files  # noqa: F401  # for the loader that it gives to all parsers
from scripts.own_callbacks import join_own
from scripts.paths import with_home

CONFIGS = Path(__file__).parents[1] / "configs"
# The datamodules share their samples out among the processes by themselves.
TRAINER_DEFAULTS = {"use_distributed_sampler": False}
# Some of Lightning's callbacks have such defaults, which the config of a run holds.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, choice: dumper.represent_data(choice.value))


class Command(LightningCLI):
    """What `maskst` does with arguments, whatever the command."""

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
        join_own(*(each[command] if command else each for each in (self.config, given)))

    def _parse_ckpt_path(self) -> None:
        """Let the command line win: by default a checkpoint's hyper-parameters would replace what was asked for."""
