"""Every command of the README and of docs/ runs on the miniature, or its parser reads it; links lead somewhere."""

import argparse
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from runpy import run_module
from typing import Any

import jsonargparse
import pytest
from lightning.pytorch.cli import LightningCLI

from datamodules.miniature.references import MiniatureReferences
from scripts.cli import ROOT, main
from tests.documents import PAGES, Block, anchors, blocks, links, opening, program

SIZES = {"train_per_style": 1, "test_per_style": 2}
SMALL = [
    "--trainer.accelerator=cpu",
    "--model.sampling.steps=2",
    *(f"--data.{name}={value}" for name, value in {"evaluation_references": 2, **SIZES}.items()),
]
SHORT = ["--trainer.max_steps=1", "--trainer.val_check_interval=1", "--trainer.logger=false"]
SWEEP = "[{condition: IPAdapter, sampling: {scale: [1.0, 0.5]}}, {condition: Masking}]"
# What is not run, by what its command says: the rest would take minutes, or needs what cannot be here.
PUBLIC_WEIGHTS = r"backbone/(sd|styleshot)|weights sd|--fetch|test/clip|my/csd|my/weights"
LONG = r"^scripts\.|published\.yaml|fit/(style_encoder|content_fusion)|my/styleshot"
SEVERAL_DEVICES = r"--trainer\.devices"
A_SERVER = r"^maskst studio"
NOT_RUN = re.compile("|".join((PUBLIC_WEIGHTS, LONG, SEVERAL_DEVICES, A_SERVER)))
RUN_ANYWAY = ("scripts.pack_shards",)
TASKS = [page for page in PAGES if page.stem not in ("README", "architecture", "published", "CHANGELOG")]
OTHERS = {"git", "cd", "python3", ".", "pip", "tensorboard", "scripts.test", "scripts.test-oldest"}


class Parsed(Exception):
    """The arguments of a command were read to their end."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands' users have: pictures of their own, and the miniature's set, a small one."""
    home = tmp_path_factory.mktemp("home")
    data = MiniatureReferences(str(home / "data" / "miniature"), **SIZES)
    data.prepare_data()
    drawn = home / "data" / "miniature" / "object_test"
    pictures = sorted(drawn.glob("cat/cat/*.png"))[:2]
    shutil.copytree(drawn / "cat", home / "my" / "styles" / "cat")
    for name in ("photos/a", "pictures/barn", "contents/A rocket", "not/like/this"):
        copy(pictures[0], home / ("" if name.startswith("not") else "my") / f"{name}.png")
    copy(ROOT / "docs" / "cat.png", home / "docs" / "cat.png")
    copy(pictures[0], home / "my" / "drawn.png")
    table = f"image,reference,prompt,content\ndrawn.png,{pictures[1]},A rocket,cat\n"
    (home / "my" / "pictures.csv").write_text(table)
    return home


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str]], None]:
    """Reads the arguments of a program to their end by its own parser, and no further."""
    read = argparse.ArgumentParser.parse_args

    def stop(*_: Any) -> None:
        raise Parsed

    def read_and_stop(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        read(self, *args, **kwargs)
        raise Parsed

    def read_of_function(function: Callable[..., Any], args: list[str], **_: Any) -> None:
        jsonargparse.auto_parser(function).parse_args(args)
        raise Parsed

    def parse(name: str, arguments: list[str]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", read_and_stop)
            patch.setattr(jsonargparse, "auto_cli", read_of_function)
            patch.setattr(LightningCLI, "before_instantiate_classes", stop)
            with pytest.raises(Parsed):
                start(name, arguments)

    return parse


def start(name: str, arguments: list[str]) -> None:
    if name == "maskst":
        main(arguments)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *arguments])
        run_module(name, run_name="__main__")


def is_run(words: list[str]) -> bool:
    name, arguments = program(words)
    return name in RUN_ANYWAY or not NOT_RUN.search(" ".join([name, *arguments]))


def small(name: str, arguments: list[str]) -> list[str]:
    """The arguments, with those that make of a command's experiment a small one."""
    if name != "maskst" or arguments[0] not in ("fit", "predict", "validate", "sweep", "transfer"):
        return arguments
    command, said = arguments[0], " ".join(arguments)
    more = [each for each in SMALL if "per_style" not in each or draws_the_miniature(command, said)]
    more += SHORT if command == "fit" else []
    more += ["--data.predict_references=2"] if command in ("predict", "sweep") else []
    more += [f"--sweep={SWEEP}"] if command == "sweep" else []
    return [*arguments, *more]


def draws_the_miniature(command: str, said: str) -> bool:
    return command != "transfer" and "--data " not in said and "style_bench" not in said


def check_other(words: list[str]) -> None:
    """What is no program of the project's: its files and extras are there."""
    name, arguments = program(words)
    assert name in OTHERS
    if name.startswith("scripts."):
        assert (ROOT / "scripts" / name.removeprefix("scripts.")).stat().st_mode & 0o111
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"\[(\w+)\]", " ".join(arguments)))
    assert extras <= set(project["optional-dependencies"])
    assert name != "tensorboard" or any(each.startswith(name) for each in project["dependencies"])


def play(block: Block, parse: Callable[[str, list[str]], None]) -> None:
    """Run what the block says, or check it."""
    if block.language == "python" and "pipe." not in block.text:  # which is tests/integration/test_stock_pipelines.py
        exec(block.text, {})
    for words in block.commands if block.language == "bash" else []:
        name, arguments = program(words)
        if name in OTHERS:
            check_other(words)
        elif is_run(words):
            start(name, small(name, arguments))
        else:
            parse(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run(
    page: Path, home: Path, parse: Callable[[str, list[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    shutil.rmtree(home / "outputs", ignore_errors=True)
    for block in blocks(page):
        play(block, parse)


@pytest.mark.parametrize(
    "command", ["maskst predict --config configs/predict/masking.yaml --data.prompt 3", "scripts/reproduce --fast"]
)
def test_a_wrong_option_is_found(command: str, parse: Callable[[str, list[str]], None]) -> None:
    with pytest.raises(SystemExit):
        parse(*program(command.split()))


def test_what_is_not_run_is_what_cannot_be() -> None:
    words = [words for page in PAGES for block in blocks(page) if block.language == "bash" for words in block.commands]
    mine = [each for each in words if program(each)[0] not in OTHERS]
    kinds = {program(each)[0] + (f" {each[1]}" if each[0] == "maskst" else "") for each in mine if is_run(each)}
    assert kinds >= {f"maskst {name}" for name in ("transfer", "predict", "fit", "validate", "test", "sweep", "export")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_configs_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"configs/\w+/\w+\.yaml", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_readme_is_short_and_names_every_page() -> None:
    readme = PAGES[0]
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 220
    assert {f"docs/{page.name}" for page in PAGES[1:-1]} <= set(links(readme))
    assert (ROOT / "docs" / "first.png").stat().st_size < 400_000


@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.stem)
def test_a_page_of_a_task_starts_with_a_command(page: Path) -> None:
    assert opening(page) == ""
