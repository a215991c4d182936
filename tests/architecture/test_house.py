"""Small files, small functions, no circles, and data that flow one way."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.house import ROOMS, functions, sources
from tests.architecture.test_imports import imports_of

MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 250, 50
NEIGHBOURS = r"\b_?(trainer|datamodule|pl_module|batch|loader)$"
SOURCES = sources(*ROOMS)


def reaches(source: str) -> Iterator[str]:
    """Where code reaches into its neighbour: reads the trainer's datamodule, asks what it has, or writes into it."""
    for node in ast.walk(ast.parse(source)):
        reached = None
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            reached = node.args[0]
        elif isinstance(node, ast.Attribute) and (node.attr == "datamodule" or isinstance(node.ctx, ast.Store)):
            reached = node.value
        if reached is not None and re.search(NEIGHBOURS, ast.unparse(reached)):
            yield ast.unparse(node)


def circle(files: dict[str, str]) -> list[str]:
    """Modules that import each other, in functions too, in the order of their imports; empty where none do."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in files}
    graph = {}
    for module, path in modules.items():
        names = {found.name for found in imports_of(files[path], types=False)}
        graph[module] = {name if name in modules else name.rpartition(".")[0] for name in names} & modules.keys() - {
            module
        }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_files_and_functions_are_small() -> None:
    assert [path for path, text in SOURCES.items() if text.count("\n") > MOST_LINES_OF_A_FILE] == []
    every = [each for path, text in SOURCES.items() for each in functions(path, text)]
    assert [each for each in every if each.lines > MOST_LINES_OF_A_FUNCTION] == []


def test_a_function_is_measured_with_its_decorators() -> None:
    [outer, inner] = functions("a.py", "@b\n@c\ndef f():\n    def g():\n        pass\n    return g\n")
    assert (outer.lines, inner.lines) == (6, 2)


def test_no_modules_import_each_other() -> None:
    assert circle(SOURCES) == []


def test_a_circle_is_found() -> None:
    files = {"a/b.py": "from a.c import d", "a/c.py": "def f():\n    from a.e import g", "a/e.py": "import a.b"}
    assert set(circle(files)) == {"a.b", "a.c", "a.e"}
    assert circle({**files, "a/e.py": "if TYPE_CHECKING:\n    import a.b"}) == []


def test_nobody_reaches_into_a_neighbour() -> None:
    found = {path: list(reaches(text)) for path, text in SOURCES.items() if not path.startswith("scripts/")}
    assert {path: texts for path, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    "source",
    [
        "data = self.trainer.datamodule",
        "def f(trainer):\n    return getattr(trainer.datamodule, 'jobs', [])",
        "if hasattr(batch, 'images'): pass",
        "datamodule.keep = lambda job: True",
        "self.trainer.datamodule.keys_only = True",
        "batch.images = []",
    ],
)
def test_reaching_is_found(source: str) -> None:
    assert list(reaches(source))


@pytest.mark.parametrize("source", ["self.datamodule = 1", "batch['images'] = []", "getattr(scheduler, 'order', 1)"])
def test_what_is_no_reaching_is_not(source: str) -> None:
    assert list(reaches(source)) == []
