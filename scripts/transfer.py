"""`maskst transfer`: pictures in the style of single images, by one method or by several side by side."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.cli import LightningArgumentParser
from PIL import Image
from rich.console import Console
from rich.table import Table

from callbacks.alignment_scores import AlignmentScores
from callbacks.own_folder import OwnFolder
from callbacks.ranks import refuse
from callbacks.scoring.groups import title_of
from callbacks.scoring.judge import IMAGE, LEAKED
from datamodules.images import read_image, write_png
from datamodules.pictures import found
from datamodules.prediction_folders import Finished, finished_pictures
from scripts.command import add_own
from scripts.methods import ALL, METHODS, chosen_methods, swept, takes_strength
from scripts.paths import to_path
from scripts.sheet import Cell, Row, contact_sheet
from scripts.sweep import Sweep
from scripts.variants import variants
from scripts.verdicts import judged

_USAGE = "PICTURE [PICTURE ...] --prompt TEXT [--KEY VALUE ...]"
_DESCRIPTION = "Draws prompts in the style of pictures: files, folders or patterns, with any names."
_TEXT = "alignment/text"
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
    add("--prompt", nargs="+", action="extend", default=[], metavar="TEXT", help="what is drawn; several are all drawn")
    words = "what the pictures show, whose leak is stopped: a word for all or one a picture (default: it is found)"
    add("--content", nargs="+", action="extend", default=[], metavar="WORD", help=words)
    known = f"{', '.join(METHODS)}, or {ALL} that the backbone can draw (default: masking)"
    add("--method", nargs="+", action="extend", default=[], metavar="NAME", help=known)
    add("--samples", type=int, default=1, metavar="N", help="pictures of each prompt and method (default: 1)")
    add("--seed", type=int, default=42, metavar="N", help="of the noise that pictures start from (default: 42)")
    add("--strength", type=float, metavar="X", help="of methods that have one: λ of InstantStyle")
    add("--scale", type=float, metavar="X", help="of the image prompt, 0 to 1 (default: the backbone's, 1)")
    add("--output", type=to_path, default=Path("outputs/transfer"), metavar="FOLDER", help="default: outputs/transfer")
    add("--config", action="append", default=[], metavar="FILE", help="a backbone, such as configs/backbone/sd15.yaml")
    add("--print_config", action="store_true", help="print the config of the equal `maskst predict`, and draw nothing")
    wish, further = parser.parse_known_args(args)
    if not wish.pictures:
        raise ValueError("`PICTURE` is missing: name one image or more, such as photo.jpg or photos/*.jpg.")
    if not wish.prompt or not all(prompt.strip() for prompt in wish.prompt):
        raise ValueError("`--prompt` is missing or blank: say what is to be drawn, such as --prompt 'A rocket'.")
    wish.method = wish.method or ["masking"]
    if wish.strength is not None and not any(
        takes_strength(name) for name in METHODS if name in wish.method or ALL in wish.method
    ):
        raise ValueError(
            f"`--strength` is of instantstyle, and the method is {', '.join(wish.method)}. Leave it out, or add "
            "`--method instantstyle`; `--scale` sets how much all methods take from the picture."
        )
    return wish, further


def content_words(wish: argparse.Namespace) -> str | dict[str, str]:
    """`content_words` of the datamodule: to be found, a word for all pictures, or one for each in their order.

    Raises:
        ValueError: there are neither one nor as many words as pictures.
    """
    if len(wish.content) < 2:
        return wish.content[0] if wish.content else "auto"
    given = [file for name in wish.pictures for file in found([name])]
    if len(given) != len(wish.content):
        raise ValueError(
            f"`--content` has {len(wish.content)} words for {len(given)} pictures: give one word for all, or one for "
            "each in their order, or none for them to be found."
        )
    return {f"*{file.name}": word for file, word in zip(given, wish.content, strict=True)}


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

    for method in (
        [name for name in METHODS if name in wish.method] if ALL not in wish.method else chosen_methods([ALL], False)
    ):
        strength = [f"--model.condition.strength={wish.strength}"] if takes_strength(method) and wish.strength else []
        folder = wish.output / folder_name(wish, method)
        told = [f"--trainer.default_root_dir={folder}", f"--writer.init_args.folder={folder}", "--print_config"]
        sys.stdout.write("---\n")
        try:
            run(["predict", "--config", str(METHODS[method]), *arguments(wish), *strength, *further, *told])
        except SystemExit as end:
            if end.code:
                raise


class Shown(NamedTuple):
    """A picture that was drawn, its reference, and what the judge says of it."""

    finished: Finished
    reference: Image.Image
    image: Image.Image
    scores: dict[str, float]

    @property
    def lines(self) -> list[str]:
        """What a contact sheet says below it."""
        leaked = {1.0: "leaked", 0.0: "no leak"}.get(self.scores.get(LEAKED, -1.0))
        share = self.finished.line.get("share_masked")
        told = [
            f"{name} {self.scores[tag]:.2f}" for name, tag in (("text", _TEXT), ("image", IMAGE)) if tag in self.scores
        ]
        return [", ".join(filter(None, [leaked, *told])), "" if share is None else f"{100 * share:.0f} % masked"]


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
        columns = {variant.name: list(self._drawn(folder)) for folder, variant in self.variants.items()}
        console = Console(highlight=False)
        console.print(as_table(columns, self.judge.name))
        every = [each for column in columns.values() for each in column if each]
        if len(every) == 1:
            console.print(f"The picture: {every[0].finished.path}", soft_wrap=True, markup=False)
            return
        sheet = self.wish.output / "sheet.png"
        write_png(sheet, as_sheet(columns))
        places = f"{len(every)} pictures are in {self.wish.output}, side by side in {sheet}"
        console.print(places, soft_wrap=True, markup=False)

    def _drawn(self, folder: str) -> Iterator[Shown | None]:
        """The pictures of a method in the order of the jobs; None for those that could not be made."""
        lying, tests = finished_pictures(folder), self.datamodule.test_set
        finished = [lying.get(job.identity) for job in self.datamodule.predict_jobs]
        there = [each for each in finished if each]
        images = [read_image(each.path.read_bytes()) for each in there]
        opened = {reference.digest: reference for reference in tests.references}
        references = [tests.image(opened[each.job.reference.digest].index) for each in there]
        scores = judged(self.judge, images, [each.job for each in there], references)
        shown = map(Shown, there, references, images, scores)
        yield from (next(shown) if each else None for each in finished)


def as_table(columns: dict[str, list[Shown | None]], judge: str) -> Table:
    """Leak and alignments of each picture, for a terminal."""
    table = Table(
        "picture", "shows", "prompt", "method", "leaked", "text", "image", "masked", title=f"Judged by {judge}"
    )
    for row in zip(*columns.values(), strict=True):
        for name, each in zip(columns, row, strict=True):
            if each is None:
                continue
            job, share = each.finished.job, each.finished.line.get("share_masked")
            scores = [f"{each.scores[tag]:.3f}" if tag in each.scores else "" for tag in (_TEXT, IMAGE)]
            leaked = {1.0: "yes", 0.0: "no"}.get(each.scores.get(LEAKED, -1.0), "")
            masked = "" if share is None else f"{100 * share:.0f} %"
            table.add_row(job.reference.key, job.reference.content, job.prompt, name, leaked, *scores, masked)
    return table


def as_sheet(columns: dict[str, list[Shown | None]]) -> Image.Image:
    """The pictures side by side, a row a reference, prompt and sample."""
    rows = []
    for row in zip(*columns.values(), strict=True):
        first = next((each for each in row if each), None)
        if first is None:
            continue
        job = first.finished.job
        reference = Cell(first.reference, [f"{Path(job.reference.key).name}: {job.reference.content}"])
        cells = [Cell(each.image, each.lines) if each else Cell(None, ["could not be made"]) for each in row]
        rows.append(Row(reference, job.prompt, cells))
    return contact_sheet([title_of(name) for name in columns], rows)
