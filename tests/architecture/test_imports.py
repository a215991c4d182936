"""The import arrows between the rooms, read from the import statements alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import pytest

from tests.architecture.house import ROOMS, ROOT, sources

MODEL_LIBRARIES = ("diffusers", "transformers")
HEAVY = (*MODEL_LIBRARIES, "sklearn", "matplotlib", "tensorboard")
# The doors for files that others wrote.
READING = ("datamodules.reading", *(f"lightning_modules.{name}" for name in ("tensor_files", "hub", "hub_cache")))
# Which files may import what of ours, first match first; whatever is outside of the rooms is a library.
OURS = {
    "datamodules/": ("datamodules",),
    "lightning_modules/conditions/": (
        "lightning_modules.conditions",
        "lightning_modules.adapters",
        "lightning_modules.finite",
        *READING,
    ),
    "lightning_modules/adapters.py": ("lightning_modules.adapters",),
    "lightning_modules/diffusion/loading.py": ("lightning_modules.diffusion", "lightning_modules.styleshot", *READING),
    "lightning_modules/diffusion/": ("lightning_modules.diffusion", "lightning_modules.finite", *READING),
    "lightning_modules/styleshot/": (
        "lightning_modules.styleshot",
        "lightning_modules.diffusion",
        "lightning_modules.finite",
        "datamodules.files",
        *READING,
    ),
    "lightning_modules/": ("lightning_modules", *(f"datamodules.{name}" for name in ("batches", "files", "reading"))),
    "callbacks/": (
        "callbacks",
        "lightning_modules.outputs",
        "lightning_modules.hub",
        *(f"datamodules.{name}" for name in ("files", "images", "names", "prediction_folders")),
        *READING,
    ),
    "scripts/": ROOMS,
}
# Which files alone may import a library.
LIBRARIES = {
    "webdataset": ("datamodules/shards.py",),
    "diffusers": ("lightning_modules/diffusion/", "lightning_modules/styleshot/", "scripts/"),
    "transformers": (
        "lightning_modules/diffusion/",
        "lightning_modules/styleshot/",
        "callbacks/scoring/",
        "scripts/",
    ),
    "pyarrow": ("callbacks/", "scripts/"),
    "sklearn": ("lightning_modules/conditions/", "scripts/"),
    "lightning": ("lightning_modules/*.py", "datamodules/", "callbacks/", "scripts/"),
}
TORCH_ALONE = ("lightning_modules/conditions/", "lightning_modules/adapters.py")
BESIDE_TORCH = ("torch", "numpy", "safetensors", "sklearn", "typing_extensions")


class Import(NamedTuple):
    """A dotted name that a file imports."""

    name: str
    at_import: bool  # runs when the file itself is imported, not in a function and not for types only


def imports_of(source: str, types: bool = True) -> Iterator[Import]:
    """All imports in a file, with or without those for types only; `from a import b` as `a.b`."""
    tree = ast.parse(source)
    later = {node for part in ast.walk(tree) if _is_later(part) for node in ast.walk(part)}
    unseen = {node for part in ast.walk(tree) if not types and _is_for_types(part) for node in ast.walk(part)}
    for node in set(ast.walk(tree)) - unseen:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(name, node not in later) for name in names)


def faults(path: str, source: str) -> list[str]:
    """What `path`, written from the root of the project, must not import."""
    allowed = next((names for place, names in OURS.items() if path.startswith(place)), ())
    return [name for name, _ in imports_of(source) if not _is_allowed(path, name, allowed)]


def _is_later(node: ast.AST) -> bool:
    return _is_for_types(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _is_allowed(path: str, name: str, allowed: tuple[str, ...]) -> bool:
    room = name.partition(".")[0]
    if name.startswith("."):
        return False  # one notation: names from the root
    if room in ROOMS:
        return any(f"{name}.".startswith(f"{own}.") for own in allowed)
    if any(path.startswith(place) for place in TORCH_ALONE) and _is_installed(room):
        return room in BESIDE_TORCH
    return room not in LIBRARIES or any(_lies_in(path, place) for place in LIBRARIES[room])


def _is_installed(room: str) -> bool:
    return room not in sys.stdlib_module_names


def _lies_in(path: str, place: str) -> bool:
    if "*" in place:
        return PurePosixPath(path).parent == PurePosixPath(place).parent
    return path.startswith(place)


def _reached_from(module: str) -> dict[str, str]:
    """Source by path of all our files that `import module` runs."""
    reached: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop().replace(".", "/")
        # `a.b.c` may be a module or a name in `a.b`; importing it runs `a` and `a.b` as well.
        parents = [PurePosixPath(name), *PurePosixPath(name).parents][:-1]
        candidates = [f"{part}{end}" for part in parents for end in (".py", "/__init__.py")]
        for path in (path for path in candidates if path not in reached and (ROOT / path).is_file()):
            reached[path] = (ROOT / path).read_text(encoding="utf-8")
            waiting += [found.name for found in imports_of(reached[path]) if found.at_import]
    return reached


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_what_it_may(room: str) -> None:
    found = {path: faults(path, source) for path, source in sources(room).items()}
    assert found
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("datamodules/images.py", "from lightning_modules.outputs import JSON"),
        ("datamodules/images.py", "import webdataset"),
        ("datamodules/prediction_tables.py", "def f():\n    import pyarrow"),
        ("datamodules/images.py", "from callbacks import scores"),
        ("lightning_modules/style_transfer.py", "from callbacks.scoring.functional import leaked"),
        ("lightning_modules/style_transfer.py", "from datamodules.references import open_references"),
        ("lightning_modules/style_transfer.py", "def f():\n    import diffusers"),
        ("lightning_modules/conditions/masking.py", "import lightning"),
        ("lightning_modules/conditions/masking.py", "from PIL import Image"),
        ("lightning_modules/conditions/masking.py", "from lightning_modules.diffusion.config import Backbone"),
        ("lightning_modules/adapters.py", "from lightning_modules.conditions import Condition"),
        ("lightning_modules/diffusion/encoders.py", "from lightning_modules.conditions import Condition"),
        ("lightning_modules/diffusion/encoders.py", "from lightning import LightningModule"),
        ("callbacks/image_grid.py", "from lightning_modules.style_transfer import StyleTransfer"),
        ("callbacks/image_grid.py", "from datamodules.batches import Job"),
        ("callbacks/image_grid.py", "from transformers import CLIPModel"),
        ("callbacks/image_grid.py", "from scripts import cli"),
        ("callbacks/image_grid.py", "from . import scores"),
    ],
)
def test_a_wrong_arrow_is_found(path: str, source: str) -> None:
    assert len(faults(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("lightning_modules/style_transfer.py", "from datamodules.batches import JobBatch"),
        ("lightning_modules/conditions/masking.py", "import math, torch\nfrom typing_extensions import override"),
        ("callbacks/image_grid.py", "import lightning_modules.outputs, lightning"),
        ("scripts/cli.py", "import diffusers\nfrom callbacks.scoring.functional import leaked"),
    ],
)
def test_a_right_arrow_is_not(path: str, source: str) -> None:
    assert faults(path, source) == []


def test_imports_that_run_later_are_told_apart() -> None:
    source = (
        "import a.b\nif TYPE_CHECKING:\n    from c import d\ntry:\n    import e\nfinally:\n    pass\n"
        "class F:\n    import g\n    def h(self):\n        from i.j import k"
    )
    found = set(imports_of(source))
    assert found == {Import("a.b", True), Import("c.d", False), Import("e", True), Import("g", True)} | {
        Import("i.j.k", False)
    }


def test_the_command_line_starts_without_the_model_libraries() -> None:
    reached = _reached_from("scripts.commands")
    assert {
        "callbacks/scoring/clip_judge.py",
        "lightning_modules/conditions/masking.py",
        "datamodules/loaders.py",
    } <= set(reached)
    found = {
        path: [name for name, at_import in imports_of(source) if at_import and name.split(".")[0] in HEAVY]
        for path, source in reached.items()
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_help_starts_without_torch_and_lightning() -> None:
    libraries = {
        name.split(".")[0]
        for source in _reached_from("scripts.cli").values()
        for name, at_import in imports_of(source)
        if at_import
    }
    assert libraries <= {"scripts", *sys.stdlib_module_names}
