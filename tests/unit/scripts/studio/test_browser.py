"""What a person does in the studio, by a browser."""

import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli import ROOT
from tests.hostile import drawing

pytest.importorskip("gradio", reason="the studio's page needs Gradio: pip install -e '.[studio]'")
browsers = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install -e '.[test]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the command itself serves a studio that draws in four steps."""
    command = [sys.executable, "-m", "scripts.cli", "studio", "--port", "0", "--model.sampling.steps", "4"]
    log = tmp_path_factory.mktemp("studio") / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        while "http://" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield log.read_text().split("The studio is at ")[1].split()[0]
    finally:
        process.terminate()
        assert process.wait(20) == 143
    said = log.read_text()
    assert "Stopped by SIGTERM." in said and "Traceback" not in said


@pytest.fixture
def page(address: str) -> Iterator["browsers.Page"]:
    """A page on a telephone, which calls nobody but the studio."""
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(30_000)
        page.goto(address)
        yield page
        browser.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def bring(page: "browsers.Page", *names: str) -> None:
    files = [{"name": f"{name}.png", "mimeType": "image/png", "buffer": drawing(name)} for name in names]
    page.locator("#references input[type=file]").set_input_files(files)
    page.locator(".st-reference").nth(len(names) - 1).wait_for()


def is_wide(page: "browsers.Page") -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_a_person_draws_looks_downloads_and_comes_back(page: "browsers.Page", tmp_path: Path) -> None:
    expect = browsers.expect
    bring(page, "cat", "ship")
    expect(page.get_by_label("What reference 1 shows")).to_have_value("cat")  # found
    expect(page.get_by_label("What reference 2 shows")).to_have_value("ship")
    page.get_by_label("What reference 2 shows").fill("boat")
    page.locator("#prompts textarea").fill("A rocket\nA bench")
    page.get_by_label("instantstyle", exact=True).check()
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#status")).to_contain_text("Done: 12 of 12 pictures")
    pictures = page.locator(".st-picture img")
    expect(pictures).to_have_count(12)
    sizes = pictures.evaluate_all("images => images.map(image => image.naturalWidth)")
    assert sizes == [64] * 12
    expect(page.locator(".st-leaks, .st-clean")).to_have_count(12)
    expect(page.locator(".st-cell dd")).to_have_count(36)
    assert not is_wide(page)
    pictures.first.click()
    expect(page.locator("dialog.st-full img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.st-full")).to_have_count(0)
    page.get_by_text("What masking drops").click()
    expect(page.locator(".st-figures img")).to_have_count(2)
    assert "maskst transfer cat.png ship.png" in page.locator("#command textarea").input_value()
    with page.expect_download() as downloading:
        page.get_by_text("Download all").click()
    downloading.value.save_as(tmp_path / "pictures.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as archive:
        names = archive.namelist()
        lines = archive.read("instantstyle/generations-0.jsonl").decode().splitlines()
    assert sum(name.endswith(".png") for name in names) == 12
    assert {json.loads(line)["reference"]["content"] for line in lines} == {"cat", "boat"}
    assert {json.loads(line)["file"] for line in lines} == {
        name.removeprefix("instantstyle/") for name in names if name.startswith("instantstyle") and ".png" in name
    }
    page.reload()
    expect(page.locator(".st-picture img")).to_have_count(12)
    expect(page.locator(".st-reference")).to_have_count(2)
    page.locator("#gone-1").click()
    expect(page.locator(".st-reference")).to_have_count(1)


def test_a_person_errs_and_stops(page: "browsers.Page") -> None:
    expect = browsers.expect
    files = [{"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"I am no picture."}]
    page.locator("#references input[type=file]").set_input_files(files)
    said = page.locator("#said")
    expect(said).to_contain_text("“notes.jpg” cannot be read: not an image that Pillow can read.")
    page.get_by_role("button", name="Draw").click()
    expect(said).to_contain_text("There is no picture yet")
    bring(page, "cat")
    expect(said).to_be_empty()
    page.get_by_text("Settings").click()
    page.get_by_label("Steps").fill("400")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#status")).to_contain_text("Drawing 0.")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped: 0 of 2 pictures")
    expect(page.get_by_role("button", name="Draw")).to_be_enabled()
    assert not is_wide(page)
