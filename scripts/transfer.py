"""`maskst transfer`: pictures in the style of single images, by one method or by several side by side."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console

from callbacks.alignment_scores import AlignmentScores
from callbacks.own_folder import OwnFolder
from callbacks.ranks import refuse
from datamodules.images import read_image, write_png
from datamodules.pictures import named
from datamodules.prediction_folders import finished_pictures
from scripts.command import add_own
from scripts.methods import ALL, METHODS, check_names, chosen_methods, has_styleshot, swept, takes_strength
from scripts.paths import to_path
from scripts.side_by_side import Shown, as_sheet, as_table
from scripts.sweep import Sweep
from scripts.terminal import TERMINAL
from scripts.variants import variants
from scripts.verdicts import judged

_USAGE = "PICTURE [PICTURE ...] --prompt TEXT"
_DESCRIPTION = "Draws prompts in the style of pictures: files, folders or patterns, with any names."
MOST_SHOWN = 50
"""Pictures of a method that are shown side by side; all are written."""
_EPILOG = """\
examples:
  maskst transfer photo.jpg --prompt "A rocket"
  maskst transfer photos/*.jpg --prompt "A rocket" --prompt "A flower" --method all --samples 2
  maskst transfer photo.jpg --content cat --prompt "A rocket" --config configs/backbone/sd15.yaml

Any key of the configs can be given too, such as --model.sampling.steps 30. The same command goes on where it was
stopped, and draws only what is missing.
"""


def main(args: list[str]) -> None:
    """Draw what the command line asks for, or print the config of the equal `maskst predict`."""
    wish, further = parse(args)
    if wish.print_config:
        print_config(wish, further)
    else:
        Transfer(wish, further).run()


def parse(args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What the command line says, and keys of the configs.

    Raises:
        ValueError: there is no picture or no prompt, or words, methods or strengths do not fit.
    """
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "maskst transfer", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style, allow_abbrev=False
    )
    add = parser.add_argument
    add("pictures", nargs="*", metavar="PICTURE", help="images whose style is taken: files, folders, patterns")
    several: dict[str, Any] = {"action": "append", "default": []}
    add("--prompt", metavar="TEXT", help="what is drawn; each `--prompt` is drawn by itself", **several)
    words = "what all pictures show, whose leak is stopped; or one for each picture in turn (default: it is found)"
    add("--content", metavar="WORD", help=words, **several)
    known = f"{', '.join(METHODS)}, or {ALL} that the backbone can draw; can be repeated (default: masking)"
    add("--method", metavar="NAME", help=known, **several)
    add("--samples", type=int, default=1, metavar="N", help="pictures of each prompt and method (default: 1)")
    add("--seed", type=int, default=42, metavar="N", help="of the noise that pictures start from (default: 42)")
    add("--strength", type=float, metavar="X", help="of methods that have one: λ of InstantStyle")
    add("--scale", type=float, metavar="X", help="of the image prompt, 0 to 1 (default: the backbone's, 1)")
    add("--output", type=to_path, default=Path("outputs/transfer"), metavar="FOLDER", help="default: outputs/transfer")
    add("--config", metavar="FILE", help="a backbone, such as configs/backbone/sd15.yaml", **several)
    add("--print_config", action="store_true", help="print the config of the equal `maskst predict`, and draw nothing")
    own, keys = _apart(args)
    wish, further = parser.parse_known_args(own)
    if not wish.pictures:
        raise ValueError("`PICTURE` is missing: name one image or more, such as photo.jpg or photos/*.jpg.")
    if not wish.prompt or not all(prompt.strip() for prompt in wish.prompt):
        raise ValueError("`--prompt` is missing or blank: say what is to be drawn, such as --prompt 'A rocket'.")
    wish.method = wish.method or ["masking"]
    check_names(wish.method)
    if wish.strength is not None and not {"instantstyle", ALL} & {*wish.method}:
        raise ValueError(
            f"`--strength` is of instantstyle, and the method is {', '.join(wish.method)}. Leave it out, or add "
            "`--method instantstyle`; `--scale` sets how much all methods take from the picture."
        )
    return wish, [*keys, *further]


def _apart(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without dotted keys of the configs, and these with their values, which are no pictures."""
    own: list[str] = []
    keys: list[str] = []
    for place, argument in enumerate(args):
        before = args[place - 1] if place else ""
        is_key, is_value = ("." in each.partition("=")[0] and each.startswith("--") for each in (argument, before))
        is_value = is_value and "=" not in before and not argument.startswith("--")
        (keys if is_key or is_value else own).append(argument)
    return own, keys


def content_words(wish: argparse.Namespace) -> str | dict[str, str]:
    """`content_words` of the datamodule: to be found, a word for all pictures, or one for each in their order.

    Raises:
        ValueError: there are neither one nor as many words as pictures.
    """
    if len(wish.content) < 2:
        return wish.content[0] if wish.content else "auto"
    names = list(named(wish.pictures))
    if len(names) != len(wish.content):
        raise ValueError(
            f"`--content` has {len(wish.content)} words for {len(names)} pictures: give one word for all, or one for "
            "each in their order, or none for them to be found."
        )
    return dict(zip(names, wish.content, strict=True))


def arguments(wish: argparse.Namespace) -> list[str]:
    """What `predict` is told about pictures, prompts and samples."""
    data = {"pictures": wish.pictures, "content_words": content_words(wish), "prompts": wish.prompt}
    data |= {"samples_per_prompt": wish.samples, "seed": wish.seed}
    return [
        *chain(*(("--config", file) for file in wish.config)),
        "--data=datamodules.pictures.Pictures",
        *(f"--data.{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in data.items()),
        *([] if wish.scale is None else [f"--model.sampling.scale={wish.scale}"]),
    ]


def folder_name(wish: argparse.Namespace, method: str) -> str:
    """The folder of a method's pictures within the output: what is asked of it beside its config is in its name."""
    asked = {"strength": wish.strength if takes_strength(method) else None, "scale": wish.scale}
    return "__".join([method, *(f"{name}-{value:g}" for name, value in asked.items() if value is not None)])


def print_config(wish: argparse.Namespace, further: Sequence[str]) -> None:
    """Print the config of the equal `maskst predict` of each method, one document after the other."""
    from scripts.commands import main as run

    for method in chosen_methods(wish.method, has_styleshot(wish.config)):
        asks = wish.strength is not None and takes_strength(method)
        strength = [f"--model.condition.strength={wish.strength}"] if asks else []
        folder = wish.output / folder_name(wish, method)
        told = [f"--trainer.default_root_dir={folder}", f"--writer.init_args.folder={folder}", "--print_config"]
        sys.stdout.write("---\n")
        try:
            run(["predict", "--config", str(METHODS[method]), *arguments(wish), *strength, *further, *told])
        except SystemExit as end:
            if end.code:
                raise


class Transfer(Sweep):
    """Draws what was asked for, each method into a folder of its own, and shows it side by side."""

    command, usage, description = "transfer", _USAGE, _DESCRIPTION

    def __init__(self, wish: argparse.Namespace, further: Sequence[str]) -> None:
        self.wish = wish
        super().__init__([*arguments(wish), *further])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The judge that the backbone names, and what writes the pictures."""
        parser.add_class_arguments(AlignmentScores, "scores")
        add_own(parser, "writer")

    def options(self, config: Any) -> dict[str, Any]:
        """A folder for each method, below that of the output."""
        wish, self.judge = self.wish, config.scores.judge
        self.variants = {}
        for method in chosen_methods(wish.method, self.model.backbone.style_encoder is not None):
            name = folder_name(wish, method)
            [variant] = variants([swept(method, wish.strength)], self.model.sampling)
            self.variants[str(wish.output / name)] = variant._replace(name=name)
        if len(self.writers) != 1:
            raise ValueError(f"`writer`: one PredictionWriter writes the pictures, got {len(self.writers)} of them.")
        self.own = [OwnFolder(wish.output, "output")]
        return {"default_root_dir": str(wish.output), "logger": False}

    def run(self) -> None:
        """Draw, and show it; fail at last where pictures are missing."""
        with self.taken():
            self.failures: dict[str, str] = {}
            self.draw()
            if self.trainer.is_global_zero:
                self.show()
            refuse(self.trainer, self.failures)

    def show(self) -> None:
        """What the judge says of each picture, and where they are, with a contact sheet where there are several."""
        self.judge.to(self.trainer.strategy.root_device)
        columns = {variant.name: list(self._drawn(folder)) for folder, variant in self.variants.items()}
        every = [each for column in columns.values() for each in column if each]
        if not every:
            return
        console = Console(highlight=False, quiet=TERMINAL.quiet)
        console.print(as_table(columns, self.judge.name))
        console.print(self._places(columns, every), soft_wrap=True, markup=False)

    def _places(self, columns: dict[str, list[Shown | None]], every: list[Shown]) -> str:
        """Where the pictures are; writes the contact sheet."""
        if len(every) == 1:
            return f"The picture: {every[0].finished.path}"
        sheet, count = self.wish.output / "sheet.png", len(self.datamodule.predict_jobs)
        write_png(sheet, as_sheet(columns))
        part = f", of which {MOST_SHOWN} a method are shown" if count > MOST_SHOWN else ""
        drawn = count * len(columns) - len(self.failures)
        return f"{drawn} pictures are in {self.wish.output}{part}, side by side in {sheet}"

    def _drawn(self, folder: str) -> Iterator[Shown | None]:
        """The first pictures of a method in the order of the jobs; None for those that could not be made."""
        lying, tests = finished_pictures(folder), self.datamodule.test_set
        finished = [lying.get(job.identity) for job in self.datamodule.predict_jobs[:MOST_SHOWN]]
        there = [each for each in finished if each]
        images = [read_image(each.path.read_bytes()) for each in there]
        places = {reference.digest: reference.index for reference in tests.references}
        references = [tests.image(places[each.job.reference.digest]) for each in there]
        scores = judged(self.judge, images, [each.job for each in there], references)
        shown = map(Shown, there, references, images, scores)
        yield from (next(shown) if each else None for each in finished)
