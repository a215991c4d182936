"""What the studio's page is made of: Gradio's components."""

import gradio as gr

from scripts.studio.desk import MOST_REFERENCES
from scripts.studio.request import STRENGTH
from scripts.studio.session import Studio

EMPTY = (
    '<div class="st-empty"><p>Bring a picture whose style you like, say what to draw, and press <b>Draw</b>.</p>'
    "<p>Each method is a column: see which keeps the style and leaves the content behind.</p></div>"
)
WAITING = '<div class="st-status"><span>Waiting for its turn</span></div>'
_SHOWS = "what it shows: a word"
_FIRST = "ip_adapter", "masking", "styleshot"
"""Methods that are chosen at first: what leaks, and what does not."""


def theme() -> gr.themes.Base:
    """Quiet colours, and the fonts of the reader's machine."""
    return gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


class Controls:
    """All components of a page, made within `gr.Blocks`.

    Args:
        studio: what draws.
        about: the backbone and the device, for the page's head.
    """

    def __init__(self, studio: Studio, about: str) -> None:
        self.studio = studio
        gr.HTML(f'<header class="st-head"><b>maskst studio</b><span>{about}</span></header>')
        self.key = gr.Textbox(visible=False)
        with gr.Row(elem_classes="st-desk"):
            with gr.Column(scale=2, min_width=300, elem_classes="st-controls"):
                self._references()
                self._wish()
                self._settings()
                with gr.Row(elem_classes="st-buttons"):
                    self.draw = gr.Button("Draw", variant="primary", elem_id="draw")
                    self.stop = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False)
            with gr.Column(scale=5, min_width=300, elem_classes="st-results"):
                self.status = gr.HTML(elem_id="status")
                self.results = gr.HTML(EMPTY, elem_id="results")
                self.download = gr.HTML(elem_id="download")
                self.command = gr.Textbox(
                    label="The same by command line",
                    buttons=["copy"],
                    interactive=False,
                    visible=False,
                    lines=2,
                    elem_id="command",
                )

    @property
    def words(self) -> list[gr.Textbox]:
        """What each reference shows."""
        return [word for _, _, word, _ in self.slots]

    @property
    def settings(self) -> list[gr.components.Component]:
        """What `request.asked` takes besides the desk and the words, in its order."""
        how = [self.samples, self.seed, self.steps, self.guidance, self.scale, self.strength, self.target]
        return [self.prompts, self.methods, *how]

    def _references(self) -> None:
        """The pictures that are brought, and the words for what they show."""
        self.said = gr.HTML(elem_id="said")
        self.brought = gr.File(label="Style references", file_count="multiple", height=130, elem_id="references")
        self.slots: list[tuple[gr.Row, gr.HTML, gr.Textbox, gr.Button]] = []
        for place in range(1, MOST_REFERENCES + 1):
            with gr.Row(visible=False, elem_classes="st-slot") as row:
                image = gr.HTML(min_width=56)
                word = gr.Textbox(
                    label=f"What reference {place} shows",
                    placeholder=_SHOWS,
                    show_label=False,
                    container=False,
                    min_width=100,
                    max_length=200,
                )
                gone = gr.Button("✕", size="sm", min_width=36, elem_id=f"gone-{place}")
            self.slots.append((row, image, word, gone))

    def _wish(self) -> None:
        """Prompts, content images and methods."""
        with gr.Group(visible=self.studio.reads_layouts):
            self.layouts = gr.File(
                label="Content images, whose layout is kept", file_count="multiple", height=110, elem_id="layouts"
            )
            self.laid = gr.HTML()
            self.cleared = gr.Button("Without content images", size="sm")
        self.prompts = gr.Textbox(
            "A rocket", label="Prompts, one a line", lines=2, max_lines=8, max_length=4000, elem_id="prompts"
        )
        known = self.studio.methods
        chosen = [name for name in known if name in _FIRST]
        self.methods = gr.CheckboxGroup(known, value=chosen, label="Methods, side by side", elem_id="methods")

    def _settings(self) -> None:
        """How it is drawn."""
        sampling, presets = self.studio.sampling, self.studio.blocks
        scale = sampling.scale if isinstance(sampling.scale, float | int) else 1.0
        blocks = sampling.target_blocks if sampling.target_blocks in presets else None
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            with gr.Row():
                self.samples = gr.Number(1, label="Samples", precision=0, min_width=110)
                self.seed = gr.Number(42, label="Seed", precision=0, min_width=110)
            with gr.Row():
                self.steps = gr.Number(sampling.steps, label="Steps", precision=0, min_width=110)
                self.guidance = gr.Number(sampling.guidance_scale, label="Guidance", min_width=110)
            self.scale = gr.Slider(0, 1.5, scale, step=0.05, label="Scale of the reference")
            self.strength = gr.Slider(0, 1.5, STRENGTH, step=0.05, label="Strength of what is subtracted")
            self.target = gr.Dropdown(presets, value=blocks, label="Blocks that see the reference")
