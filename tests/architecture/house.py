"""What the source comes to: lines, files, functions.

python -m tests.architecture.house
"""

import ast
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ROOMS = ("lightning_modules", "datamodules", "callbacks", "scripts")


class Function(NamedTuple):
    """One function or method, with all that is defined in it."""

    place: str
    lines: int


def sources(*rooms: str) -> dict[str, str]:
    """Path from the root -> text of all Python files of some rooms."""
    files = sorted(file for room in rooms for file in (ROOT / room).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def functions(path: str, source: str) -> list[Function]:
    """All functions of a file; decorators are part of them."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    starts = [min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) for node in found]
    return [
        Function(f"{path}:{start} {node.name}", (node.end_lineno or start) - start + 1)
        for node, start in zip(found, starts, strict=True)
    ]


def describe(*rooms: str) -> str:
    """Lines, files and functions of some rooms, in one line."""
    texts = sources(*rooms)
    lengths = [each.lines for path, text in texts.items() for each in functions(path, text)]
    lines = [text.count("\n") for text in texts.values()]
    return (
        f"{' '.join(rooms):<55} {sum(lines):6,} lines in {len(lines):3} files, the longest {max(lines)}; "
        f"{len(lengths):4} functions: median {median(lengths):g}, 90 % up to {quantiles(lengths, n=10)[-1]:g}, "
        f"the longest {max(lengths)} lines"
    )


if __name__ == "__main__":
    for each in (ROOMS, *((room,) for room in ROOMS), ("tests",)):
        sys.stdout.write(f"{describe(*each)}\n")
