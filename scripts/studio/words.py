"""What the page says in HTML: the gallery, how far it is, and the way to download it. Every text is escaped."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from callbacks.scoring.judge import IMAGE, LEAKED
from lightning_modules.outputs import MOST_MASKED
from scripts.paths import clock
from scripts.studio.desk import Desk, Upload
from scripts.studio.gallery import Gallery

PLACE = "/studio"
"""Where pictures lie, below the root of the server."""
_SCORES = (
    ("prompt", "alignment/text", "How near the picture is to the prompt, cosine by the judge: higher is better"),
    ("style", IMAGE, "How near the picture is to the reference, cosine by the judge"),
    ("content", "alignment/content", "How near the picture is to the content of the reference: lower leaks less"),
)


def gallery_html(desk: Desk, gallery: Gallery) -> str:
    """The pictures beside what was asked for, a row for each job, and what masking drops."""
    place = f"{PLACE}/{desk.key}/{gallery.key}"
    rows = [_row(desk, gallery, row, place) for row in range(len(gallery.jobs))]
    masks = [{**mask._asdict(), "url": f"{place}/{i}.svg"} for i, mask in enumerate(gallery.masks)]
    return _template().render(gallery=gallery, rows=rows, masks=masks)


def status_html(gallery: Gallery) -> str:
    """How far the drawing is, and how long it will take."""
    share = min(1.0, gallery.done / gallery.total) if gallery.total else 1.0
    made, failed = len(gallery.pictures), len(gallery.failures)
    if gallery.over:
        end = "Stopped: " if gallery.stopped else "Done: "
        told = f"{end}{made} of {gallery.total} pictures in {gallery.seconds:.1f} s"
        told += f", {failed} failed" if failed else ""
    else:
        left = f", about {clock(gallery.seconds / share * (1 - share))} left" if share > 0.02 else ""
        told = f"Drawing {gallery.done:.1f} of {gallery.total} pictures{left}"
    bar = Markup('<div class="st-bar" role="progressbar" aria-valuenow="{}"><i style="width:{}%"></i></div>')
    percent = round(100 * share, 1)
    return Markup('<div class="st-status"><span>{}</span>{}</div>').format(told, bar.format(percent, percent))


def said_html(*faults: str) -> str:
    """What the page says of what went wrong, a sentence for each."""
    lines = Markup("").join(Markup("<p>{}</p>").format(fault) for fault in faults)
    return Markup('<div class="st-said" role="alert">{}</div>').format(lines) if faults else ""


def download_html(desk: Desk, gallery: Gallery) -> str:
    """The way to all pictures with their JSON lines."""
    if not gallery.pictures:
        return ""
    link = Markup('<a class="st-download" href="{}/{}/{}/pictures.zip" download="pictures.zip">{}</a>')
    size = f"{gallery.size / 1e6:.1f} MB" if gallery.size >= 1e5 else f"{max(1, gallery.size // 1000)} kB"
    return link.format(PLACE, desk.key, gallery.key, f"Download all, with JSON lines ({size})")


def reference_html(desk: Desk, upload: Upload) -> str:
    """The small picture of a reference or content image."""
    image = Markup('<img class="st-reference" src="{}/{}/{}.png" alt="{}" title="{}">')
    return image.format(PLACE, desk.key, upload.digest, upload.name, upload.name)


def layouts_html(desk: Desk) -> str:
    """The small pictures of all content images."""
    images = Markup("").join(reference_html(desk, upload) for upload in desk.layouts)
    return Markup('<div class="st-layouts">{}</div>').format(images)


def _row(desk: Desk, gallery: Gallery, row: int, place: str) -> dict[str, Any]:
    job = gallery.jobs[row]
    more = [f"sample {job.sample + 1}"] if any(each.sample for each in gallery.jobs) else []
    drawn = [gallery.pictures[row, method] for method in gallery.methods if (row, method) in gallery.pictures]
    word = drawn[0].job.reference.word if drawn else ""
    return {
        "prompt": job.prompt,
        "name": job.reference.key,
        "word": word,
        "told": " · ".join([*([word] if word else []), *more]),
        "seed": job.seed,
        "reference": f"{PLACE}/{desk.key}/{job.reference.digest}.png",
        "cells": [_cell(gallery, row, method, place) for method in gallery.methods],
    }


def _cell(gallery: Gallery, row: int, method: str, place: str) -> dict[str, Any]:
    picture = gallery.pictures.get((row, method))
    cell: dict[str, Any] = {"method": method, "picture": picture, "failure": gallery.failures.get((row, method))}
    if picture is None:
        return cell
    leaked = picture.scores.get(LEAKED)
    scores = [(name, picture.scores[tag], title) for name, tag, title in _SCORES if tag in picture.scores]
    url = f"{place}/{row}-{gallery.methods.index(method)}.png"
    share = picture.share_masked
    said = {"leaked": leaked if leaked is None else bool(leaked), "scores": scores, "share": share}
    return cell | said | {"url": url, "eaten": (share or 0) > MOST_MASKED}


@cache
def _template() -> jinja2.Template:
    folder = Path(__file__).parent
    loader, strict = jinja2.FileSystemLoader(folder), jinja2.StrictUndefined
    return jinja2.Environment(loader=loader, autoescape=True, undefined=strict).get_template("gallery.html.j2")
