"""`maskst studio` without Gradio, with wrong words, and what of it needs Gradio at all."""

import subprocess
import sys

import pytest

from scripts.cli import ROOT, main
from scripts.studio.command import StudioCommand
from scripts.studio.server import listening
from tests.architecture.house import sources
from tests.architecture.test_imports import imports_of


def test_without_gradio_it_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['gradio'] = None\n"
        "import scripts.studio.session, scripts.studio.server, scripts.studio.command\n"
        "sys.argv = ['maskst', 'studio']\n"
        "from scripts.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    said = "maskst: error: `maskst studio` needs Gradio, which is not installed: pip install -e '.[studio]'"
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (2, said)


def test_only_the_page_needs_gradio() -> None:
    found = {
        path
        for path, source in sources("lightning_modules", "datamodules", "callbacks", "scripts").items()
        if any(name.partition(".")[0] == "gradio" for name, _ in imports_of(source))
    }
    assert found == {f"scripts/studio/{name}.py" for name in ("page", "controls", "server")}
    at_import = [name for name, at_import in imports_of(sources("scripts")["scripts/studio/server.py"]) if at_import]
    assert not [name for name in at_import if name.split(".")[0] in ("gradio", "fastapi", "uvicorn")]


def test_a_port_in_use_is_said_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("scripts.studio.command.Studio", load)
    with (
        listening("127.0.0.1", 0) as listener,
        pytest.raises(OSError, match="`port`: another program, perhaps a studio"),
    ):
        main(["studio", "--port", str(listener.getsockname()[1])])


def test_the_command_line_without_the_studios_own_words_is_that_of_transfer() -> None:
    told = ["--config", "configs/backbone/miniature.yaml", "--model.sampling.steps=3"]
    own = ["--host", "127.0.0.1", "--port=0"]
    assert StudioCommand([*own[:2], *told, *own[2:]]).further == told
