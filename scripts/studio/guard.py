"""What stands before the studio's pages: lets through what they need, and nothing else of Gradio's many doors."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from scripts.studio.desk import MOST_BYTES, MOST_REFERENCES

# Neither /file=, which serves files and fetches addresses, nor /proxy= is among them.
_OPEN = re.compile(
    r"/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)?|/(assets|static|svelte|studio)/.*"
    r"|/gradio_api/(info|upload|upload_progress|startup-events|cancel|reset/?|run/predict|queue/(join|data)|heartbeat/\w+)"
)
_MOST_TOLD = 1 << 20  # bytes of what is no upload
_MOST_BROUGHT = MOST_BYTES * MOST_REFERENCES
_HEADERS = [
    # All comes from here; Gradio writes scripts and styles into its page.
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """An ASGI application before another.

    Args:
        app: the other.
        hosts: names by which the studio may be called, so that no page of others reaches it by a name of theirs; empty
            allows all.
    """

    def __init__(self, app: Any, hosts: Sequence[str] = ()) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        if refused := self._refused(scope):
            code, text = refused
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": code, "headers": headers})
            await send({"type": "http.response.body", "body": text.encode()})
            return

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await self.app(scope, receive, told)

    def _refused(self, scope: Any) -> tuple[int, str] | None:
        """The code and the reason of what is not answered."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self.hosts and urlsplit(f"//{host}").hostname not in self.hosts:
            return 403, f"The studio is not called {host}."
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Another page may not use the studio."
        if not _OPEN.fullmatch(scope["path"]) or ".." in scope["path"]:
            return 404, "There is nothing here."
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        size = headers.get(b"content-length", "")
        if not size.isdecimal():
            return 411, "How long is it?"
        most = _MOST_BROUGHT if scope["path"].endswith("/upload") else _MOST_TOLD
        return (413, f"That is more than {most >> 20} MiB.") if int(size) > most else None
