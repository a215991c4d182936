"""The studio's page: what happens when its components are used."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from scripts.cli import raised_here
from scripts.studio.brought import read_brought
from scripts.studio.controls import EMPTY, WAITING, Controls
from scripts.studio.desk import MOST_REFERENCES, Desk, Desks
from scripts.studio.request import asked
from scripts.studio.session import Studio
from scripts.studio.words import (
    download_html,
    gallery_html,
    layouts_html,
    reference_html,
    said_html,
    status_html,
)

_SECONDS = 0.25  # between two looks at a drawing
_KEEP_KEY = "(key) => { sessionStorage.setItem('maskst-desk', key); }"
_FIND_KEY = "() => sessionStorage.getItem('maskst-desk') || ''"
_log = logging.getLogger(__name__)


class Page:
    """The page of a studio.

    Args:
        studio: what draws.
        desks: what the open pages hold.
        about: the backbone and the device, for the page's head.
        folder: where Gradio keeps what is brought.
    """

    def __init__(self, studio: Studio, desks: Desks, about: str, folder: Path) -> None:
        self.studio, self.desks, self.about, self.folder = studio, desks, about, folder

    def blocks(self) -> gr.Blocks:
        """The page, with all that happens on it."""
        with gr.Blocks(title="maskst studio", analytics_enabled=False, fill_width=True) as blocks:
            on = Controls(self.studio, self.about)
            quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
            at_once, reading = quiet | {"queue": False}, quiet | {"preprocess": False, "concurrency_limit": 1}
            slots = [part for *parts, _ in on.slots for part in parts]
            shown, buttons = [on.status, on.results, on.download, on.command], [on.draw, on.stop]
            here = [on.key, *slots, on.laid, *shown]
            arrived = blocks.load(self.arrive, on.key, here, js=_FIND_KEY, **at_once)
            arrived.then(None, on.key, None, js=_KEEP_KEY, **quiet)
            brought = on.brought.upload(self.bring, [on.brought, *on.words], [on.brought, on.said, *slots], **reading)
            networks: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "networks"}
            brought.then(self.find, on.words, [on.said, *on.words], **networks, **quiet)
            laid = [on.layouts, on.said, on.laid]
            on.layouts.upload(self.bring_layouts, on.layouts, laid, **reading)
            on.cleared.click(self.bring_layouts, gr.State(None), laid, **reading)
            for place, (*_, gone) in enumerate(on.slots):
                gone.click(self.taking_away(place), on.words, slots, api_name=f"take_away_{place}", **at_once)
            begun = on.draw.click(self.begin, None, [on.said, on.status, *buttons], **at_once)
            drawing = quiet | networks | {"show_progress": "minimal", "show_progress_on": on.status}
            drawn = begun.then(self.draw, [*on.settings, *on.words], [*shown, on.said], **drawing)
            drawn.then(self.rest, None, buttons, **at_once)  # even where Gradio itself refuses what came
            on.stop.click(self.stop, None, None, **at_once)
        return blocks

    def arrive(self, key: str, request: gr.Request) -> list[Any]:
        """The desk that this page had before it was loaded again, or a new one."""
        desk = self.desks.open(_page(request), key)
        here, gallery = [desk.key, *self._slots(desk), layouts_html(desk)], desk.gallery
        if gallery is None:
            return [*here, "", EMPTY, "", gr.update(visible=False)]
        shown = [status_html(gallery), gallery_html(desk, gallery), download_html(desk, gallery)]
        return [*here, *shown, gr.update(value=gallery.command, visible=True)]

    def bring(self, request: gr.Request, files: Any, *words: str) -> list[Any]:
        """Lay the pictures that were brought on the desk; say what could not be read."""
        desk = self.desks.open(_page(request))
        uploads, faults = read_brought(files, self.folder)
        before = len(desk.references)
        faults += _no_room(desk.bring(uploads, desk.references))
        desk.faults = faults
        kept = [*words[:before], *[""] * MOST_REFERENCES][:MOST_REFERENCES]
        return [None, said_html(*faults), *self._slots(desk, kept)]

    def find(self, request: gr.Request, *words: str) -> list[Any]:
        """Write down what the references show, where nothing stands yet; say where that is unsure."""
        desk, doubts, updates = self.desks.open(_page(request)), [], [gr.skip()] * MOST_REFERENCES
        for place, upload in enumerate(desk.references):
            found = None if words[place] else self.studio.find(upload)
            if found:
                desk.found[upload.digest] = updates[place] = found.word
                if found.is_unsure:
                    doubts.append(
                        f"“{upload.name}” may show {found.word} or {found.second}: correct the word if need be."
                    )
        return [said_html(*desk.faults, *doubts), *updates]

    def bring_layouts(self, request: gr.Request, files: Any) -> list[Any]:
        """Lay content images on the desk, or take all away."""
        desk = self.desks.open(_page(request))
        uploads, faults = read_brought(files or [], self.folder)
        desk.layouts = desk.layouts if files else []
        faults += _no_room(desk.bring(uploads, desk.layouts))
        return [None, said_html(*faults), layouts_html(desk)]

    def taking_away(self, place: int) -> Callable[..., list[Any]]:
        """What takes the reference at this place from the desk."""

        def take_away(request: gr.Request, *words: str) -> list[Any]:
            desk = self.desks.open(_page(request))
            del desk.references[place : place + 1]
            return self._slots(desk, [*words[:place], *words[place + 1 :], ""])

        return take_away

    def begin(self, request: gr.Request) -> list[Any]:
        """What the page shows until it is its turn."""
        self.desks.open(_page(request)).stop = Event()
        return ["", WAITING, gr.update(interactive=False), gr.update(interactive=True)]

    def stop(self, request: gr.Request) -> None:
        """End what is being drawn for this page, or waits for its turn."""
        self.desks.open(_page(request)).stop.set()

    def draw(self, page: gr.Request, *settings: Any) -> Iterator[list[Any]]:
        """Show the pictures while they are drawn; say in one sentence what cannot be."""
        desk, looked, hung, said = self.desks.open(_page(page)), 0.0, -1, ""
        try:
            request = asked(desk, self.studio.sampling, *settings)
            for gallery in self.studio.draw(request, desk.stop):
                if desk.gallery is not gallery:
                    desk.gallery, desk.asked = gallery, [*request.references, *request.layouts]
                if not gallery.over and time.monotonic() - looked < _SECONDS:
                    continue
                looked, before = time.monotonic(), hung
                hung = len(gallery.pictures) + len(gallery.failures)
                grid = gallery_html(desk, gallery) if gallery.over or hung != before else gr.skip()
                command = gr.update(value=gallery.command, visible=True)
                yield [status_html(gallery), grid, download_html(desk, gallery), command, gr.skip()]
        except Exception as error:
            said = said_html(_sentence(error))
        self.desks.drop_galleries()
        yield ["" if said else gr.skip(), *[gr.skip()] * 3, said]

    def rest(self) -> list[Any]:
        """The buttons of a page for which nothing is drawn."""
        return [gr.update(interactive=True), gr.update(interactive=False)]

    def _slots(self, desk: Desk, words: Sequence[str] = ("",) * MOST_REFERENCES) -> list[Any]:
        updates: list[Any] = []
        for upload, word in zip([*desk.references, *[None] * MOST_REFERENCES], words, strict=False):
            image = "" if upload is None else reference_html(desk, upload)
            updates += [gr.update(visible=upload is not None), image, word if upload else ""]
        return updates


def _sentence(error: Exception) -> str:
    """What the page says of an error: the project's own words, or where they are."""
    if isinstance(error, ValueError) and raised_here(error) is error:
        return str(error)
    _log.error("The studio could not draw", exc_info=error)
    return "This could not be drawn, and the studio's terminal says why."


def _page(request: gr.Request) -> str:
    """What tells an open page from others."""
    return str(request.session_hash)


def _no_room(left: int) -> list[str]:
    return [f"There is room for {MOST_REFERENCES} pictures: {left} were left out."] if left else []
