"""The studio's web server: Gradio's page, pictures from memory, and the guard before both."""

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from lightning.pytorch.utilities import rank_zero_info

from scripts.studio.desk import MOST_BYTES, Desks
from scripts.studio.guard import Guard
from scripts.studio.words import PLACE
from scripts.terminal import TERMINAL

if TYPE_CHECKING:
    from fastapi import FastAPI

    from scripts.studio.gallery import Gallery
    from scripts.studio.session import Studio

FOLDER = Path(__file__).parent
MOST_WAITING = 200
"""Requests that wait for their turn."""
LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that no other machine reaches."""


def listening(host: str, port: int) -> socket.socket:
    """A socket of this address, so that it is known before anything is loaded that it can be had.

    Raises:
        OSError: another program has the port, or the address is none of this machine's.
    """
    way_out = f"`--port {port + 1}` takes the next, `--port 0` any that is free."
    if not 0 <= port < 1 << 16:
        raise ValueError(f"`port` is a number from 0 to {(1 << 16) - 1} and was {port}. 0 takes any that is free.")
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"`port`: another program, perhaps a studio, has port {port} of {host}. {way_out}") from error
        reason = error.strerror or error
        raise OSError(
            f"`host`: the studio cannot be at {host}, port {port} ({reason}). 127.0.0.1 is this machine alone, 0.0.0.0 "
            "all its networks."
        ) from error
    return found


def add_pictures(app: "FastAPI", desks: Desks) -> None:
    """Let `app` answer with what lies on the desks: nothing of it is on a disk."""
    from fastapi import HTTPException, Response

    def answer(found: bytes | None, kind: str) -> Response:
        if found is None:
            raise HTTPException(404, "This picture is no longer here.")
        return Response(found, media_type=kind, headers={"cache-control": "private, max-age=86400, immutable"})

    @app.get(PLACE + "/{key}/{digest}.png")
    def reference(key: str, digest: str) -> Response:
        desk = desks.find(key)
        here = [*desk.references, *desk.layouts, *desk.asked] if desk else []
        return answer(next((each.thumbnail for each in here if each.digest == digest), None), "image/png")

    @app.get(PLACE + "/{key}/{gallery}/{row}-{column}.png")
    def picture(key: str, gallery: str, row: int, column: int) -> Response:
        found = _gallery(desks, key, gallery)
        method = found.methods[column] if found and 0 <= column < len(found.methods) else ""
        drawn = found.pictures.get((row, method)) if found else None
        return answer(drawn and drawn.png, "image/png")

    @app.get(PLACE + "/{key}/{gallery}/{place}.svg")
    def mask(key: str, gallery: str, place: int) -> Response:
        found = _gallery(desks, key, gallery)
        masks = found.masks[place : place + 1] if found else []
        return answer(masks[0].figure if masks else None, "image/svg+xml")

    @app.get(PLACE + "/{key}/{gallery}/pictures.zip")
    def everything(key: str, gallery: str) -> Response:
        found = _gallery(desks, key, gallery)
        return answer(found.zipped() if found else None, "application/zip")


def _gallery(desks: Desks, key: str, gallery: str) -> "Gallery | None":
    desk = desks.find(key)
    return desk.gallery if desk and desk.gallery and desk.gallery.key == gallery else None


def application(studio: "Studio", folder: Path, hosts: Sequence[str] = (), about: str = "") -> Guard:
    """The page, the pictures and the guard before both; Gradio keeps what is brought in `folder`."""
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False"}
    import gradio
    from fastapi import FastAPI

    from scripts.studio.controls import theme
    from scripts.studio.page import Page

    desks, app = Desks(), FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_pictures(app, desks)
    blocks = Page(studio, desks, about, folder).blocks().queue(max_size=MOST_WAITING)
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=MOST_BYTES,
        ssr_mode=False,
        theme=theme(),
        css_paths=FOLDER / "page.css",
        head=f"<script>{(FOLDER / 'page.js').read_text(encoding='utf-8')}</script>",
    )
    return Guard(app, hosts)


def serve(studio: "Studio", listener: socket.socket, folder: Path, about: str) -> None:
    """Serve the page until a signal comes, and load the networks meanwhile; raises what keeps these from loading."""
    import uvicorn

    def load() -> None:
        try:
            studio.load()
        except BaseException as error:
            failed.append(error)
            server.should_exit = True

    host, port = listener.getsockname()[:2]
    app = application(studio, folder, LOCAL if host in LOCAL else (), about)
    settings = uvicorn.Config(app, log_config=None, log_level="error", timeout_graceful_shutdown=1, lifespan="on")
    if not TERMINAL.quiet:
        rank_zero_info(f"The studio is at http://{host}:{port} ({about}); Ctrl-C ends it.")
    server, failed = uvicorn.Server(settings), list[BaseException]()
    loading = Thread(target=load, daemon=True, name="loading")
    loading.start()
    server.run(sockets=[listener])
    for error in failed:
        raise error
