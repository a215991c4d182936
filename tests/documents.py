"""What the README and the pages of docs/ hold: commands, code, links and headings."""

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from scripts.cli import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PYTHON = ["python", "-m"]


class Block(NamedTuple):
    """A block of code and its language."""

    language: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, without comments; `&&` parts commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = (shlex.split(part, comments=True) for line in lines for part in re.split(" && ", line))
        return [each for each in words if each]


def blocks(page: Path) -> list[Block]:
    """The blocks of code of a page, in their order."""
    return [Block(*found.groups()) for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def program(words: list[str]) -> tuple[str, list[str]]:
    """What a command starts and its arguments; a module, or a file of scripts/, by its name: "scripts.reproduce"."""
    if words[:2] == _PYTHON:
        return words[2], words[3:]
    return words[0].replace("/", ".") if words[0].startswith("scripts/") else words[0], words[1:]


def links(page: Path) -> list[str]:
    """The targets of a page's links and images, outside of code."""
    return _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def opening(page: Path) -> str:
    """What stands between a page's title and its first block of code."""
    lines = page.read_text(encoding="utf-8").splitlines()[1:]
    return "".join(takewhile(lambda line: not line.startswith("```"), lines))
