"""One picture an evaluation: references in rows, the result of each prompt in columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from PIL import Image, ImageDraw, ImageFont
from typing_extensions import override

from callbacks.evaluation import EvaluationCallback, writers
from callbacks.ranks import from_all_ranks
from datamodules.images import write_png
from lightning_modules.outputs import Generations, to_pil

_MARGIN, _LINE, _FONT_SIZE = 4, 18, 13


class Row(NamedTuple):
    """One style reference and its results, all as cells of the grid's size."""

    reference: Image.Image
    results: dict[str, Image.Image]  # by prompt


class ImageGrid(EvaluationCallback):
    """Shows the first references of each evaluation, in TensorBoard and as `<log_dir>/grids/step_000400.png`.

    Args:
        references: rows, at least 1; the evaluation's order already spreads over contents and styles.
        cell: side of one picture in the grid, in pixels; smaller pictures are enlarged without smoothing.
    """

    def __init__(self, references: int = 6, cell: int = 128) -> None:
        super().__init__()
        if references < 1 or cell < 1:
            raise ValueError(
                f"`references` and `cell` must be at least 1, got {references} and {cell}: leave this "
                "callback out of the configuration to draw no grid."
            )
        self.references, self.cell = references, cell

    @override
    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rows: dict[int, Row] = {}

    @override
    def add(self, generations: Generations) -> None:
        """Keep the pictures of the first references, first sample each."""
        for place, job in enumerate(generations.jobs):
            index = job.reference.index
            if index not in self._rows and len(self._rows) < self.references:
                self._rows[index] = Row(fit(generations.references[place], self.cell), {})
            if index in self._rows and job.prompt not in self._rows[index].results:
                picture = to_pil(generations.images[place : place + 1])[0]
                self._rows[index].results[job.prompt] = fit(picture, self.cell)

    @override
    def finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the grid, save it and show it in TensorBoard."""
        rows = merge_rows(from_all_ranks(self._rows), self.references)
        log_dir, step = trainer.log_dir, self.step(trainer)  # `log_dir` is a broadcast: on every rank
        if not trainer.is_global_zero or not rows:
            return
        stage = "/test" if trainer.testing else ""
        grid = draw_grid(rows, title=f"{pl_module.name}, step {step}", cell=self.cell)
        if log_dir is not None:
            write_png(Path(log_dir) / "grids" / f"{stage and 'test_'}step_{step:06d}.png", grid)
        for writer in writers(trainer):
            writer.add_image(f"grid{stage}", np.asarray(grid), global_step=step, dataformats="HWC")


def merge_rows(parts: Sequence[dict[int, Row]], count: int) -> list[Row]:
    """The `count` rows that the evaluation met first, each with the results of all ranks."""
    merged: dict[int, Row] = {}
    for part in parts:
        for index, row in part.items():
            known = merged.setdefault(index, Row(row.reference, {}))
            for prompt, picture in row.results.items():
                known.results.setdefault(prompt, picture)
    return list(merged.values())[:count]  # ranks have contiguous shares


def fit(image: Image.Image, cell: int) -> Image.Image:
    """`image` in `cell` x `cell` pixels, centred on white; enlarged by repeating pixels, shrunk smoothly."""
    scale = cell / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    canvas = Image.new("RGB", (cell, cell), "white")
    canvas.paste(image.convert("RGB").resize(size, method), ((cell - size[0]) // 2, (cell - size[1]) // 2))
    return canvas


def draw_grid(rows: Sequence[Row], title: str, cell: int = 128) -> Image.Image:
    """Picture of `rows`: the reference, then one column a prompt, under the prompts' words and a title."""
    prompts = list(dict.fromkeys(prompt for row in rows for prompt in row.results))
    pitch, top = cell + _MARGIN, 2 * _LINE + _MARGIN
    canvas = Image.new("RGB", (_MARGIN + pitch * (1 + len(prompts)), top + pitch * len(rows)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_SIZE)
    draw.text((_MARGIN, 1), shorten(title, canvas.width - 2 * _MARGIN, font), fill="black", font=font)
    for column, label in enumerate(["reference", *prompts]):
        left = _MARGIN + column * pitch
        draw.text((left, _LINE), shorten(label, cell, font), fill="black", font=font)
        for number, row in enumerate(rows):
            picture = row.reference if column == 0 else row.results.get(label)
            if picture is not None:
                canvas.paste(picture, (left, top + number * pitch))
    return canvas


def shorten(label: str, width: int, font: Any) -> str:
    """`label`, cut with an ellipsis to at most `width` pixels in `font`."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(label + "...") > width:
        label = label[:-1]
    return label + "..."
