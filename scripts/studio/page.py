"""The studio's page: Gradio's components, and what happens when they are used."""

import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from scripts.cli import raised_here
from scripts.studio.brought import read_brought
from scripts.studio.desk import MOST_REFERENCES, Desk, Desks
from scripts.studio.session import Request, Studio
from scripts.studio.words import download_html, gallery_html, reference_html, said_html, status_html

_EMPTY = (
    '<div class="st-empty"><p>Bring a picture whose style you like, say what to draw, and press <b>Draw</b>.</p>'
    "<p>Each method is a column: see which keeps the style and leaves the content behind.</p></div>"
)
_WAITING = '<div class="st-status"><span>Waiting for its turn</span></div>'
_FOUND = "a word"
_SECONDS = 0.25  # between two looks at a drawing
_KEEP_KEY = "(key) => { sessionStorage.setItem('maskst-desk', key); }"
_FIND_KEY = "() => sessionStorage.getItem('maskst-desk') || ''"
_log = logging.getLogger(__name__)


def theme() -> gr.themes.Base:
    """Quiet colours, and the fonts of the reader's machine."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return gr.themes.Base(primary_hue="teal", secondary_hue="teal", neutral_hue="stone", radius_size="md", **fonts)


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
        """The page."""
        with gr.Blocks(title="maskst studio", analytics_enabled=False, fill_width=True) as blocks:
            gr.HTML(f'<header class="st-head"><b>maskst studio</b><span>{self.about}</span></header>')
            self.key = gr.Textbox(visible=False)
            with gr.Row(elem_classes="st-desk"):
                with gr.Column(scale=2, min_width=300, elem_classes="st-controls"):
                    self._what()
                    self._how()
                    with gr.Row(elem_classes="st-buttons"):
                        self.draw_button = gr.Button("Draw", variant="primary", elem_id="draw")
                        self.stop_button = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False)
                with gr.Column(scale=5, min_width=300, elem_classes="st-results"):
                    self.status = gr.HTML(elem_id="status")
                    self.results = gr.HTML(_EMPTY, elem_id="results")
                    self.download = gr.HTML(elem_id="download")
                    self.command = gr.Textbox(
                        label="The same by command line", buttons=["copy"], interactive=False, visible=False, lines=2
                    )
            self._events(blocks)
        return blocks

    def _what(self) -> None:
        """What is drawn: references and the words for what they show, prompts, methods."""
        self.said = gr.HTML(elem_id="said")
        self.brought = gr.File(label="Style references", file_count="multiple", height=130, elem_id="references")
        self.slots: list[tuple[gr.Row, gr.HTML, gr.Textbox, gr.Button]] = []
        for place in range(MOST_REFERENCES):
            with gr.Row(visible=False, elem_classes="st-slot") as row:
                image = gr.HTML(min_width=56, scale=0)
                word = gr.Textbox(label="It shows", placeholder=_FOUND, min_width=120, scale=1, max_length=200)
                gone = gr.Button("✕", size="sm", min_width=40, scale=0, elem_id=f"gone-{place}")
            self.slots.append((row, image, word, gone))
        self.prompts = gr.Textbox(
            "A rocket", label="Prompts, one a line", lines=2, max_lines=8, max_length=4000, elem_id="prompts"
        )
        known = self.studio.methods
        chosen = [name for name in ("ip_adapter", "masking") if name in known] or known[:1]
        self.methods = gr.CheckboxGroup(known, value=chosen, label="Methods, side by side", elem_id="methods")

    def _how(self) -> None:
        """How it is drawn."""
        sampling = self.studio.sampling
        scale = sampling.scale if isinstance(sampling.scale, float | int) else 1.0
        presets = ["all", *self.studio.model.model.BLOCKS]
        blocks = sampling.target_blocks if sampling.target_blocks in presets else None
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            with gr.Row():
                self.samples = gr.Number(1, label="Samples", precision=0, minimum=1, maximum=16, min_width=110)
                self.seed = gr.Number(42, label="Seed", precision=0, minimum=0, min_width=110)
            with gr.Row():
                self.steps = gr.Number(sampling.steps, label="Steps", precision=0, minimum=1, maximum=200, min_width=110)
                self.guidance = gr.Number(sampling.guidance_scale, label="Guidance", minimum=0, maximum=50, min_width=110)
            self.scale = gr.Slider(0, 1.5, scale, step=0.05, label="Scale of the reference")
            self.strength = gr.Slider(0, 1.5, 1.0, step=0.05, label="Strength of what is subtracted")
            self.target = gr.Dropdown(presets, value=blocks, label="Blocks that see the reference")

    def _events(self, blocks: gr.Blocks) -> None:
        hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        words = [word for _, _, word, _ in self.slots]
        slots = [part for row, image, word, _ in self.slots for part in (row, image, word)]
        shown = [self.status, self.results, self.download, self.command]
        arrived = blocks.load(
            self.arrive, self.key, [self.key, *slots, *shown], js=_FIND_KEY, queue=False, **hidden
        )
        arrived.then(None, self.key, None, js=_KEEP_KEY, **hidden)
        self.brought.upload(
            self.bring,
            [self.key, self.brought, *words],
            [self.brought, self.said, *slots],
            preprocess=False,
            concurrency_limit=1,
            **hidden,
        )
        for place, (*_, gone) in enumerate(self.slots):
            gone.click(partial(self.take_away, place), [self.key, *words], slots, queue=False, **hidden)
        settings = [self.prompts, self.methods, self.samples, self.seed, self.steps, self.guidance]
        settings += [self.scale, self.strength, self.target]
        buttons = [self.draw_button, self.stop_button]
        begun = self.draw_button.click(self.begin, self.key, [self.said, self.status, *buttons], queue=False, **hidden)
        begun.then(
            self.draw,
            [self.key, *settings, *words],
            [*shown, self.said, *buttons],
            concurrency_limit=1,
            show_progress="minimal",
            show_progress_on=self.status,
            api_visibility="private",
        )
        self.stop_button.click(self.stop, self.key, None, queue=False, **hidden)

    def arrive(self, key: str) -> list[Any]:
        """The desk that this page had before it was loaded again, or a new one."""
        desk = self.desks.open(key)
        gallery = desk.gallery
        if gallery is None:
            return [desk.key, *self._slots(desk), "", _EMPTY, "", gr.update(visible=False)]
        shown = [status_html(gallery), gallery_html(desk, gallery), download_html(desk, gallery)]
        return [desk.key, *self._slots(desk), *shown, gr.update(value=gallery.command, visible=True)]

    def bring(self, key: str, files: Any, *words: str) -> list[Any]:
        """Lay the pictures that were brought on the desk; say what could not be read."""
        desk = self.desks.open(key)
        uploads, faults = read_brought(files, self.folder)
        before = len(desk.references)
        left = desk.bring(uploads)
        if left:
            faults.append(f"There is room for {MOST_REFERENCES} references: {left} were left out.")
        kept = [*words[:before], *[""] * MOST_REFERENCES][:MOST_REFERENCES]
        return [None, said_html(*faults), *self._slots(desk, kept)]

    def take_away(self, place: int, key: str, *words: str) -> list[Any]:
        """Take a reference from the desk."""
        desk = self.desks.open(key)
        del desk.references[place : place + 1]
        return self._slots(desk, [*words[:place], *words[place + 1 :], ""])

    def begin(self, key: str) -> list[Any]:
        """What the page shows until it is its turn."""
        self.desks.open(key).stop = Event()
        return ["", _WAITING, gr.update(interactive=False), gr.update(interactive=True)]

    def stop(self, key: str) -> None:
        """End what is being drawn for this page, or waits for its turn."""
        self.desks.open(key).stop.set()

    def draw(self, key: str, prompts: str, methods: list[str], *settings: Any) -> Iterator[list[Any]]:
        """Show the pictures while they are drawn; say in one sentence what cannot be."""
        desk, said, looked, shown = self.desks.open(key), "", 0.0, -1
        resting = [gr.update(interactive=True), gr.update(interactive=False)]
        try:
            request = self._request(desk, prompts, methods, *settings)
            for gallery in self.studio.draw(request, desk.stop):
                if desk.gallery is not gallery:
                    desk.gallery, desk.asked, desk.layouts = gallery, list(request.references), list(request.layouts)
                if not gallery.over and time.monotonic() - looked < _SECONDS:
                    continue
                looked, here = time.monotonic(), len(gallery.pictures) + len(gallery.failures)
                grid = gallery_html(desk, gallery) if gallery.over or here != shown else gr.skip()
                shown = here
                rest = [download_html(desk, gallery), gr.update(value=gallery.command, visible=True)]
                yield [status_html(gallery), grid, *rest, gr.skip(), gr.skip(), gr.skip()]
        except Exception as error:
            said = said_html(self._sentence(error))
        self.desks.drop_galleries()
        kept = [gr.skip()] * 4 if not said else ["", *[gr.skip()] * 3]
        yield [*kept, said, *resting]

    def _request(
        self,
        desk: Desk,
        prompts: str,
        methods: list[str],
        samples: float | None,
        seed: float | None,
        steps: float | None,
        guidance: float | None,
        scale: float,
        strength: float,
        target: str | None,
        *words: str,
    ) -> Request:
        sampling = {"steps": _whole("Steps", steps), "guidance_scale": guidance, "scale": scale, "target_blocks": target}
        configured = self.studio.sampling
        changed = {name: value for name, value in sampling.items() if value not in (None, getattr(configured, name))}
        return Request(
            references=list(desk.references),
            words=[word.strip() for word in words[: len(desk.references)]],
            prompts=[line.strip() for line in prompts.splitlines() if line.strip()],
            methods=methods,
            samples=_whole("Samples", samples),
            seed=_whole("Seed", seed),
            strength=strength,
            sampling=tuple(changed.items()),
        )

    def _sentence(self, error: Exception) -> str:
        """What the page says of an error: the project's own words, without paths of this machine."""
        if isinstance(error, ValueError) and raised_here(error) is error:
            return str(error)
        _log.exception("The studio could not draw", exc_info=error)
        return "This could not be drawn, and the studio's terminal says why."

    def _slots(self, desk: Desk, words: Sequence[str] = ("",) * MOST_REFERENCES) -> list[Any]:
        updates: list[Any] = []
        for place, word in zip(range(MOST_REFERENCES), words, strict=True):
            here = place < len(desk.references)
            updates += [gr.update(visible=here), reference_html(desk, place) if here else "", word if here else ""]
        return updates


def _whole(name: str, value: float | None) -> int:
    if value is None or value != int(value):
        raise ValueError(f"“{name}” is a whole number and was {value}.")
    return int(value)
