"""Measure what the miniature can do against its bars, and print the table of docs/miniature.md."""

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import ge, le, lt
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.scoring.classifier_judge import load_classifier
from callbacks.scoring.clip_judge import ClipJudge
from datamodules.files import write_text
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, caption, content_prompt
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.miniature.training import ALL_CONTENTS, ALL_STYLES, FRESH_SEED, WEIGHTS
from scripts.paths import to_path
from scripts.stopping import stoppable

_log = logging.getLogger("measure")
PROMPTS = [content_prompt(content) for content in PROMPT_CONTENTS]
NAMED_CONTENTS = [content_prompt(content) for content in ALL_CONTENTS]
NAMED_STYLES = [f"{style} style" for style in ALL_STYLES]
BARS = {
    "judge CLIP, zero-shot on fresh drawings: content": ("fresh drawings: judge content", ">= 0.97"),
    "judge CLIP, zero-shot on fresh drawings: style": ("fresh drawings: judge style", ">= 0.97"),
    "conditioning CLIP, the same: content": ("fresh drawings: conditioning CLIP content", ">= 0.95"),
    "conditioning CLIP, the same: style": ("fresh drawings: conditioning CLIP style", ">= 0.97"),
    "text to image: content": ("text to image: judge content", ">= 0.90"),
    "text to image: style, where the prompt names one": ("text to image, style named: judge style", ">= 0.90"),
    "IP-Adapter, image only: content": ("image only: judge content", ">= 0.80"),
    "IP-Adapter, image only: style": ("image only: judge style", ">= 0.90"),
    "IP-Adapter, scale 1, another content asked for: leak": ("leak to the reference: judge content", ">= 0.30"),
    "IP-Adapter, scale 1, the same: style": ("leak to the reference: judge style", ">= 0.85"),
    "shipped weights, MB": ("shipped weights, MB", "<= 40"),
    f"150 pictures, 20 steps, {torch.get_num_threads()} threads, s": ("150 pictures, 20 steps, s", "<= 60"),
}
"""What is measured: the share, size or time, and the bar that it must pass."""
PAIRS = torch.cartesian_prod(torch.arange(len(ALL_CONTENTS)), torch.arange(len(ALL_STYLES)))


class Row(NamedTuple):
    """One measured share (0 to 1), or a size or time, beside its bar."""

    what: str
    value: float
    bar: str
    holds: bool


class Measurement:
    """A model's pictures, and the shares of them in which two judges see what is true."""

    def __init__(self, model: StableDiffusion, options: argparse.Namespace) -> None:
        self.model, self.options, self.details = model, options, dict[str, float]()
        self.settings = SamplingSettings(steps=options.steps, guidance_scale=options.guidance_scale)
        self.clip, self.classifier = ClipJudge(), load_classifier(WEIGHTS / "classifier")
        self.texts = [self.clip.text_features(names) for names in (NAMED_CONTENTS, NAMED_STYLES)]

    def generate(self, prompts: list[str], features: Tensor, scale: float = 1.0, maps: Tensor | None = None) -> Tensor:
        """Pictures of prompts and image features, with seeds 0, 1, 2, ..."""
        texts = {prompt: self.model.encode_prompts([prompt]) for prompt in dict.fromkeys(prompts)}
        parts = []
        for start in range(0, len(prompts), self.options.batch_size):
            seeds = list(range(start, min(start + self.options.batch_size, len(prompts))))
            text = Text(*map(torch.cat, zip(*(texts[prompts[seed]] for seed in seeds), strict=True)))
            settings, lines = replace(self.settings, scale=scale), None if maps is None else maps[seeds]
            parts.append(sample(self.model, settings, text, features[seeds], seeds, content_maps=lines))
        return torch.cat(parts)

    def no_features(self, count: int) -> Tensor:
        """Image features of nothing."""
        return torch.zeros(count, self.model.encode_contents(["dog"]).shape[1])

    def note(self, name: str, images: Tensor, **truths: Tensor) -> None:
        """Keep the shares of images ``(n, 3, 64, 64)`` in [0, 1] in which each judge sees what is true.

        A truth is the indices ``(n,)`` of styles, if it is called `style`, else of contents.
        """
        features = self.clip.image_features(images)
        with torch.no_grad():
            classes = self.classifier(images * 2 - 1)
        for judge, logits in (("judge", [features @ texts.T for texts in self.texts]), ("classifier", classes)):
            for truth, indices in truths.items():
                found = logits[truth == "style"].argmax(dim=1)
                self.details[f"{name}: {judge} {truth.replace('_', ' ')}"] = share(found, indices)


def fresh(contents: Sequence[str], styles: Sequence[str], each: int) -> tuple[list[Image.Image], Tensor, Tensor]:
    """Drawings that no network has been trained on, with the indices ``(n,)`` of their contents and styles."""
    names = [(c, s, i) for c in contents for s in styles for i in range(each)]
    images = [draw(content, style, FRESH_SEED + i) for content, style, i in names]
    content = torch.tensor([ALL_CONTENTS.index(c) for c, _, _ in names])
    return images, content, torch.tensor([ALL_STYLES.index(s) for _, s, _ in names])


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """``(n, 3, 64, 64)`` in [0, 1]."""
    flat = torch.frombuffer(bytearray(b"".join(image.tobytes() for image in images)), dtype=torch.uint8)
    return flat.view(len(images), 64, 64, 3).permute(0, 3, 1, 2) / 255


def share(a: Tensor, b: Tensor) -> float:
    """How often two index tensors agree."""
    return float((a == b).float().mean())


def encoders(of: Measurement) -> None:
    """Zero-shot accuracy of both CLIPs on fresh drawings."""
    images, content, style = fresh(ALL_CONTENTS, ALL_STYLES, 4)
    of.note("fresh drawings", to_tensor(images), content=content, style=style)
    features = normalize(of.model.encode_images(images), dim=-1)
    for kind, names, truth in (("content", NAMED_CONTENTS, content), ("style", NAMED_STYLES, style)):
        found = (features @ normalize(of.model.encode_contents(names), dim=-1).T).argmax(dim=1)
        of.details[f"fresh drawings: conditioning CLIP {kind}"] = share(found, truth)


def text_to_image(of: Measurement) -> None:
    """Every content in every style by prompt, and every content by a prompt that names no style."""
    named = [caption(ALL_CONTENTS[c], ALL_STYLES[s]) for c, s in PAIRS]
    bare = torch.arange(len(ALL_CONTENTS)).repeat_interleave(10)
    prompts = named + [NAMED_CONTENTS[c] for c in bare]
    images = of.generate(prompts, of.no_features(len(prompts)), scale=0.0)
    of.note("text to image", images, content=torch.cat([PAIRS[:, 0], bare]))
    of.note("text to image, style named", images[: len(named)], style=PAIRS[:, 1])
    of.note("text to image, no style named", images[len(named) :], content=bare)


def image_prompt(of: Measurement) -> None:
    """The IP-Adapter with an empty prompt: does the picture show what the reference shows?"""
    images, content, style = fresh(ALL_CONTENTS, ALL_STYLES, 1)
    made = of.generate([""] * len(images), of.model.encode_images(images))
    of.note("image only", made, content=content, style=style)


def leak(of: Measurement) -> None:
    """The IP-Adapter at scale 1 with a prompt for another content: whose content is drawn?"""
    images, content, style = fresh(CONTENTS, ALL_STYLES, of.options.each)
    rows = torch.arange(len(images)).repeat_interleave(len(PROMPTS))
    asked = torch.tensor([ALL_CONTENTS.index(c) for c in PROMPT_CONTENTS]).repeat(len(images))
    made = of.generate(PROMPTS * len(images), of.model.encode_images(images)[rows])
    of.note("leak to the reference", made, content=content[rows], style=style[rows])
    of.note("asked content, against the reference", made, content=asked)


def cost(of: Measurement) -> None:
    """Size of what is shipped, and time for 150 pictures of 20 steps under guidance."""
    of.details["shipped weights, MB"] = megabytes(WEIGHTS)
    of.settings = replace(of.settings, steps=20)
    features, start = of.no_features(150), time.perf_counter()
    of.generate(["A rocket"] * 150, features)
    of.details["150 pictures, 20 steps, s"] = time.perf_counter() - start


def megabytes(folder: Path) -> float:
    """Size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def judged(what: str, details: Mapping[str, float], value: str, bar: str) -> Row:
    """One of the details beside its bar: `>=`, `<=` or `<`, and a number or the name of another."""
    side, limit = bar.split(" ", maxsplit=1)
    number = details[limit] if limit in details else float(limit)
    shown = f"{side} {number:.3f}" if limit in details else bar
    return Row(what, details[value], shown, {">=": ge, "<=": le, "<": lt}[side](details[value], number))


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| | measured | bar | |", "|---|---|---|---|"]
    for row in rows:
        digits, verdict = (3 if row.value <= 1 else 1), ("holds" if row.holds else "MISSED")
        lines.append(f"| {row.what} | {row.value:.{digits}f} | {row.bar} | {verdict} |")
    return "\n".join(lines)


def parser_of(description: str | None, output: str) -> argparse.ArgumentParser:
    """The options of a measurement, whose shares are written to `output`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="denoising steps")
    parser.add_argument("--guidance-scale", type=float, default=4.0, help="classifier-free guidance")
    parser.add_argument("--batch-size", type=int, default=50, help="pictures at a time")
    parser.add_argument("--output", type=to_path, default=Path(output), help="all shares: JSON")
    return parser


def run(of: Measurement, stages: Sequence[Callable[[Measurement], None]], bars: Mapping[str, tuple[str, str]]) -> None:
    """Measure, print the table, and write all shares."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for stage in stages:
        stage(of)
        _log.info("%s done", stage.__name__)
    rows = [judged(what, of.details, *told) for what, told in bars.items()]
    _log.info("%s\n%s", table(rows), json.dumps(of.details, indent=1))
    result = {"bars": [row._asdict() for row in rows], "all": of.details}
    write_text(of.options.output, json.dumps(result, indent=1))


def main(args: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__, "outputs/miniature/bars.json")
    parser.add_argument("--each", type=int, default=1, help="references of each content and style in the leak test")
    measurement = Measurement(StableDiffusion.load(Backbone()), parser.parse_args(args))
    run(measurement, (encoders, text_to_image, image_prompt, leak, cost), BARS)


if __name__ == "__main__":
    with stoppable():
        main()
