"""The studio over HTTP: what its page needs is answered, and nothing else."""

import io
import json
import os
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.cli import ROOT
from scripts.studio.server import listening
from scripts.studio.session import Studio
from tests.hostile import drawing, readable, unreadable

pytest.importorskip("gradio", reason="the studio's page needs Gradio: pip install -e '.[studio]'")
import httpx
import uvicorn

from scripts.studio.server import LOCAL, application
from tests.page_client import PageClient


@pytest.fixture(scope="module")
def address(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a studio listens, in a thread of this process."""
    folder = tmp_path_factory.mktemp("brought")
    with listening("127.0.0.1", 0) as listener, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        app = application(studio, folder, LOCAL)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_page_brings_draws_and_downloads(address: str) -> None:
    page = PageClient(address)
    assert page.bring({"cat.png": drawing("cat")}) == ""
    assert page.draw(["cat"], "A rocket\nA bench", ["masking", "ip_adapter"]).startswith("Done: 4 of 4 pictures")
    pictures = page.pictures()
    assert len(pictures) == 4 and all(picture.startswith(b"\x89PNG") for picture in pictures)
    with zipfile.ZipFile(io.BytesIO(page.zipped())) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 4
        lines = archive.read("masking/generations-0.jsonl").decode().splitlines()
        assert sorted(json.loads(line)["prompt"] for line in lines) == ["A bench", "A rocket"]
    again = PageClient(address)
    assert again.pictures() == []  # another page
    again.shown = again.now("arrive", page.key)  # the same one, loaded again: too late, for this page has a desk
    assert again.pictures() == []


def test_requests_at_once_are_all_answered_and_not_mixed_up(address: str) -> None:
    def ask(number: int) -> tuple[str, bytes]:
        page, content = PageClient(address), ("cat", "ship", "dog")[number % 3]
        assert page.bring({f"{content}.png": drawing(content)}) == ""
        said = page.draw([content], f"A rocket {number}", ["masking"], seed=number)
        with zipfile.ZipFile(io.BytesIO(page.zipped())) as archive:
            line = json.loads(archive.read("masking/generations-0.jsonl"))
            [picture] = page.pictures()
            assert archive.read(f"masking/{line['file']}") == picture
        assert line["prompt"] == f"A rocket {number}" and line["reference"]["content"] == content
        return said, picture

    with ThreadPoolExecutor(6) as pool:
        said, pictures = zip(*pool.map(ask, range(6)), strict=True)
    assert all(each.startswith("Done: 1 of 1 pictures") for each in said)
    assert len(set(pictures)) == 6


def test_every_file_is_answered_by_a_sentence_or_taken(address: str) -> None:
    page = PageClient(address)
    for name, (data, reason) in unreadable().items():
        said = page.bring({name: data})
        assert reason.replace("“", "") in said.replace("“", "") or "cannot be read" in said
        assert "/tmp" not in said and "<script" not in said
    for name, data in list(readable().items())[:8]:
        assert page.bring({name: data}) == ""
    assert "There is room for 8 pictures: 1 were left out" in page.bring({"one more.png": drawing("ship")})
    assert page.draw(["dog"] * 8, "A rocket", ["ip_adapter"]).startswith("Done: 8 of 8")


def test_what_cannot_be_drawn_is_a_sentence(address: str) -> None:
    page = PageClient(address)
    page.now("begin")
    data = ["A rocket", ["masking"], 1, 42, 2, 4.0, 1.0, 1.0, "all", *[""] * 8]
    assert "There is no picture yet" in page.in_turn("draw", *data)[4]
    page.bring({"cat.png": drawing("cat")})
    page.now("begin")
    assert (
        "the studio draws 200 at a time"
        in page.in_turn("draw", *["A rocket", ["masking"], 16 * 20, *data[3:9], "cat", *[""] * 7])[4]
    )


def test_a_reference_is_taken_away(address: str) -> None:
    page = PageClient(address)
    page.bring({"cat.png": drawing("cat"), "ship.png": drawing("ship")})
    slots = page.now("take_away_0", "cat", "ship", *[""] * 6)
    assert "ship.png" in slots[1] and slots[2] == "ship" and slots[5] == ""


def test_stop_ends_what_is_drawn(address: str) -> None:
    page = PageClient(address)
    page.bring({"cat.png": drawing("cat")})
    with ThreadPoolExecutor(1) as pool:
        drawing_now = pool.submit(page.draw, ["cat"], "A rocket", ["masking"], 8, 1, 150)
        time.sleep(1.5)
        begun = time.monotonic()
        other = PageClient(address)
        other.now("stop")  # of another page
        page.now("stop")
        assert drawing_now.result().startswith("Stopped: 0 of 8 pictures")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "path",
    [
        f"/gradio_api/file={ROOT}/README.md",
        "/gradio_api/file=README.md",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/deep_link",
        "/gradio_api/queue/status",
        "/gradio_api/runs",
        "/monitoring",
        "/file=/etc/passwd",
        "/static/../../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/svelte//etc/passwd",
        "/studio/x/y/0-0.png",
        "/studio/x/y/pictures.zip",
        "/studio/../README.md",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_file_of_the_machine_is_served(address: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as raw:  # clients would tidy the path
        host = address.removeprefix("http://")
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert int(answer.split()[1]) in (400, 403, 404, 422)
    assert b"root:" not in answer and b"maskst" not in answer


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "attacker.example"}, 403),
        ({"host": "127.0.0.1.attacker.example:80"}, 403),
        ({"origin": "http://attacker.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost"}, 200),
    ],
)
def test_other_names_and_other_pages_are_refused(address: str, headers: dict[str, str], code: int) -> None:
    assert httpx.get(address, headers=headers).status_code == code


def test_the_size_of_what_is_sent_is_bounded(address: str) -> None:
    post = httpx.Client(base_url=address, timeout=60).post
    assert post("/gradio_api/queue/join", content=bytes((1 << 20) + 1)).status_code == 413
    assert post("/gradio_api/queue/join", content=iter([b"x"])).status_code == 411
    large = post("/gradio_api/upload", files={"files": ("a.png", bytes((32 << 20) + 1))})
    assert large.status_code == 413


def test_the_page_calls_nobody_else(address: str) -> None:
    answer = httpx.get(address)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    config = httpx.get(f"{address}/config").json()
    assert config["analytics_enabled"] is False
    assert str(Path.home()) not in answer.text and str(ROOT) not in answer.text


def test_a_port_in_use_and_an_address_of_others_are_said() -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"`port`: another program, perhaps a studio, has port {port} of 127.0.0.1"):
            listening("127.0.0.1", port)
    with pytest.raises(OSError, match="`host`: the studio cannot be at 192.0.2.1, port 0"):
        listening("192.0.2.1", 0)
    with pytest.raises(ValueError, match="`port` is a number from 0 to 65535 and was 70000"):
        listening("127.0.0.1", 70000)
