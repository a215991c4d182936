"""What all commands have in common."""

from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from scripts.own_callbacks import join_own

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
        self.config: Any = parser.parse_args(args)  # type: ignore[arg-type]  # always a list here
        given: Any = parser.parse_args(args, defaults=False, _skip_validation=True)  # type: ignore[arg-type]
        command = self.config.get("subcommand")
        join_own(*(each[command] if command else each for each in (self.config, given)))

    def _parse_ckpt_path(self) -> None:
        """Let the command line win: by default a checkpoint's hyper-parameters would replace what was asked for."""
