import gc
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli import kept_imports

ROOT = Path(__file__).parents[3]


def _program(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_is_imported_is_never_searched_for_garbage() -> None:
    _program(
        "import gc; from scripts.cli import kept_imports\n"
        "with kept_imports():\n"
        "    assert not gc.isenabled(); import decimal\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "assert not any(thing is decimal.__dict__ for thing in gc.get_objects())"
    )


def test_an_import_that_fails_leaves_the_search_switched_on() -> None:
    _program(
        "import gc; from scripts.cli import kept_imports\n"
        "try:\n"
        "    with kept_imports(): raise ImportError\n"
        "except ImportError: assert gc.isenabled() and gc.get_freeze_count() == 0\n"
        "else: raise AssertionError"
    )


def test_a_process_that_has_lightning_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", sys)
    frozen = gc.get_freeze_count()
    with kept_imports():
        assert gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_a_search_that_was_off_stays_off() -> None:
    _program(
        "import gc; from scripts.cli import kept_imports; gc.disable()\n"
        "with kept_imports(): pass\n"
        "assert not gc.isenabled() and gc.get_freeze_count() == 0"
    )
