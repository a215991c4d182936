"""What a browser does with the studio, without one: a page of its own over HTTP."""

import json
import re
import secrets
from typing import Any

import httpx


class PageClient:
    """One open page of the studio at `address`."""

    def __init__(self, address: str, timeout: float = 300) -> None:
        self.http = httpx.Client(base_url=address, timeout=timeout)
        self.session = secrets.token_hex(6)
        self._fns = {each["api_name"]: each for each in self.http.get("/config").json()["dependencies"]}
        self.shown = self.now("arrive", "")
        self.key: str = self.shown[0]

    def bring(self, files: dict[str, bytes], words: tuple[str, ...] = ("",) * 8) -> str:
        """Bring files, and return what is said of them."""
        sent = [("files", (name, data)) for name, data in files.items()]
        paths = self.http.post("/gradio_api/upload", files=sent).raise_for_status().json()
        told = [
            {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
            for path, name in zip(paths, files, strict=True)
        ]
        return text_of(self.in_turn("bring", told, *words)[1])

    def draw(
        self, words: list[str], prompts: str, methods: list[str], samples: int = 1, seed: int = 42, steps: int = 2
    ) -> str:
        """Draw, wait for it, and return what is said of it."""
        self.now("begin")
        words = [*words, *[""] * 8][:8]
        self.in_turn("draw", prompts, methods, samples, seed, steps, 4.0, 1.0, 1.0, "all", *words)
        self.shown = self.now("arrive", "")
        return text_of(self.shown[-4])

    def pictures(self) -> list[bytes]:
        """The pictures that the page shows."""
        places = re.findall(r'<img src="(/studio/\S+/\d+-\d+\.png)"', self.shown[-3])
        return [self.http.get(place).raise_for_status().content for place in places]

    def zipped(self) -> bytes:
        """What the page gives for download."""
        [place] = re.findall(r'href="(/studio/\S+\.zip)"', self.shown[-2])
        return self.http.get(place).raise_for_status().content

    def now(self, name: str, *data: Any) -> list[Any]:
        """What an event that does not wait answers."""
        told = {"fn_index": self._fns[name]["id"], "data": list(data), "session_hash": self.session}
        found: list[Any] = self.http.post("/gradio_api/run/predict", json=told).raise_for_status().json()["data"]
        return found

    def in_turn(self, name: str, *data: Any) -> list[Any]:
        """What an event that waits for its turn answers at last; RuntimeError where it fails."""
        told = {"fn_index": self._fns[name]["id"], "data": list(data), "session_hash": self.session}
        self.http.post("/gradio_api/queue/join", json=told).raise_for_status()
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(message["output"].get("error") or "It failed.")
                    found: list[Any] = message["output"]["data"]
                    return found
        raise RuntimeError("The connection ended before the answer.")


def text_of(html: Any) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"<[^>]+>", " ", str(html)).strip()
