"""Measures the studio: its start, many requests at once, hostile files, and its memory. All traffic stays here.

python -m tests.studio_load
"""

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import httpx
import psutil
from playwright.sync_api import sync_playwright

from tests.architecture.house import ROOT
from tests.hostile import drawing, readable, unreadable
from tests.page_client import PageClient

_CONTENTS = ("cat", "ship", "dog", "bird", "frog")
_MOST_SECONDS = 120


def say(name: str, told: object) -> None:
    load = os.getloadavg()[0]
    sys.stdout.write(f"{name:<58} {told}   (load average {load:.1f})\n")
    sys.stdout.flush()


def started(port: int, *arguments: str) -> tuple["subprocess.Popen[bytes]", str, float]:
    """A studio of its own, its address, and when it was started."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "scripts.cli", "studio", "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while time.monotonic() - begun < _MOST_SECONDS:
        try:
            httpx.get(address, timeout=5)
            return process, address, begun
        except httpx.TransportError:
            time.sleep(0.05)
    process.kill()
    raise TimeoutError("The studio did not start.")


def in_a_browser(address: str, begun: float) -> None:
    """Start to page, and page to the first picture of 1 x 1, as a person sees them."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        say("the studio answers", f"{time.monotonic() - begun:.2f} s after its start")
        page = browser.new_page()
        opened = time.monotonic()
        page.goto(address)
        page.get_by_role("button", name="Draw").wait_for()
        shown = time.monotonic()
        say("the page is there", f"{shown - begun:.2f} s after the start, {shown - opened:.2f} s after it was opened")
        brought = {"name": "cat.png", "mimeType": "image/png", "buffer": drawing("cat")}
        page.locator("#references input[type=file]").set_input_files([brought])
        page.locator(".st-reference").wait_for()
        page.get_by_label("ip_adapter", exact=True).uncheck()
        asked = time.monotonic()
        page.get_by_role("button", name="Draw").click()
        page.locator(".st-picture img").wait_for(timeout=60_000)
        told = f"{time.monotonic() - asked:.2f} s after Draw, {time.monotonic() - shown:.2f} s after the page"
        say("the first picture of 1 x 1 is there", told)
        browser.close()


def ask(address: str, number: int, steps: int = 2) -> None:
    """One page that draws a picture of its own; AssertionError where another's comes back."""
    page, content = PageClient(address), _CONTENTS[number % len(_CONTENTS)]
    assert page.bring({f"{content}.png": drawing(content, seed=number)}) == ""
    said = page.draw([content], f"A rocket {number}", ["masking"], seed=number, steps=steps)
    assert said.startswith("Done: 1 of 1"), said
    with zipfile.ZipFile(io.BytesIO(page.zipped())) as archive:
        line = json.loads(archive.read("masking/generations-0.jsonl"))
        assert [archive.read(f"masking/{line['file']}")] == page.pictures()
    assert (line["prompt"], line["reference"]["content"]) == (f"A rocket {number}", content)
    page.http.close()


def at_once(address: str, numbers: Sequence[int]) -> float:
    """Seconds until all these pages have their pictures."""
    begun = time.monotonic()
    with ThreadPoolExecutor(len(numbers)) as pool:
        list(pool.map(lambda number: ask(address, number), numbers))
    return time.monotonic() - begun


def hostile(address: str, count: int) -> tuple[int, int]:
    """How many of so many files are answered by a sentence, and how many are taken."""
    refused = [(name, data) for name, (data, _) in unreadable().items()]
    files = list(islice(cycle([*refused, *readable().items()]), count))
    said = []
    for name, data in files:
        page = PageClient(address)
        said.append(page.bring({name: data}))
        page.http.close()
    expected = [name in dict(refused) for name, _ in files]
    assert [bool(each) for each in said] == expected
    return sum(expected), count - sum(expected)


def megabytes(process: "subprocess.Popen[bytes]") -> float:
    return psutil.Process(process.pid).memory_info().rss / 1e6


def main() -> None:
    """Measure, and say each number as soon as it is known."""
    process, address, begun = started(7899)
    try:
        in_a_browser(address, begun)
        say("20 requests at once are answered, none mixed up, after", f"{at_once(address, range(20)):.1f} s")
        sentences, taken = hostile(address, 50)
        say("50 hostile or unusual files", f"{sentences} answered by a sentence, {taken} taken")
        for number in range(10):
            ask(address, number)
        first = megabytes(process)
        for start in range(10, 100, 5):
            at_once(address, range(start, start + 5))
        last = megabytes(process)
        say(
            "memory after 10 and 100 further requests",
            f"{first:.0f} and {last:.0f} MB: {100 * (last / first - 1):+.1f} %",
        )
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    main()
