"""Measure what the miniature can do against its bars, and print the table of the README."""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.scoring.classifier_judge import load_classifier
from callbacks.scoring.clip_judge import ClipJudge
from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, caption, content_prompt
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.encoders import Text
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.miniature.images import ALL_CONTENTS, ALL_STYLES, FRESH_SEED
from scripts.miniature.training import WEIGHTS
from scripts.paths import to_path
from scripts.stopping import stoppable

_log = logging.getLogger("measure")
PROMPTS = [content_prompt(content) for content in PROMPT_CONTENTS]


class Row(NamedTuple):
    """One measured share (0 to 1), or a size or time, beside its bar."""

    what: str
    value: float
    bar: str
    holds: bool


class Judges:
    """The judge CLIP, zero-shot, with the classifier beside it."""

    def __init__(self, weights: Path) -> None:
        self.clip, self.classifier = ClipJudge(), load_classifier(weights / "classifier")
        self.contents = self.clip.text_features([content_prompt(content) for content in ALL_CONTENTS])
        self.styles = self.clip.text_features([f"{style} style" for style in ALL_STYLES])

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Indices ``(n,)`` of the content and style that each judge sees in images ``(n, 3, 64, 64)`` in [0, 1]."""
        features = self.clip.image_features(images)
        with torch.no_grad():
            content, style = self.classifier(images * 2 - 1)
        return {
            "judge content": (features @ self.contents.T).argmax(dim=1),
            "judge style": (features @ self.styles.T).argmax(dim=1),
            "classifier content": content.argmax(dim=1),
            "classifier style": style.argmax(dim=1),
        }


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


class Measurement:
    """The miniature and its judges, measured row by row."""

    def __init__(self, settings: SamplingSettings, batch_size: int, each: int) -> None:
        self.model, self.judges = StableDiffusion.load(Backbone()), Judges(WEIGHTS)
        self.settings, self.batch_size, self.each = settings, batch_size, each
        self.details: dict[str, float] = {}

    def generate(self, prompts: list[str], features: Tensor, scale: float) -> Tensor:
        """Pictures of prompts and image features, with seeds 0, 1, 2, ..."""
        settings = SamplingSettings(**{**vars(self.settings), "scale": scale})
        texts = {prompt: self.model.encode_prompts([prompt]) for prompt in dict.fromkeys(prompts)}
        parts = []
        for start in range(0, len(prompts), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(prompts)))
            text = Text(*map(torch.cat, zip(*(texts[prompts[row]] for row in rows), strict=True)))
            parts.append(sample(self.model, settings, text, features[rows.start : rows.stop], list(rows)))
        return torch.cat(parts)

    def seen(self, name: str, images: Tensor, **truths: Tensor) -> dict[str, float]:
        """Shares in which each judge sees the true content and style; kept among the details."""
        verdicts = self.judges(images)
        shares = {
            verdict: share(found, truths[verdict.split()[1]])
            for verdict, found in verdicts.items()
            if verdict.split()[1] in truths
        }
        self.details |= {f"{name}: {verdict}": value for verdict, value in shares.items()}
        return shares

    def encoders(self) -> list[Row]:
        """Zero-shot accuracy of both CLIPs on fresh drawings."""
        images, content, style = fresh(ALL_CONTENTS, ALL_STYLES, 4)
        judged = self.seen("fresh drawings", to_tensor(images), content=content, style=style)
        features = normalize(self.model.encode_images(images), dim=-1)
        contents = normalize(self.model.encode_contents([content_prompt(c) for c in ALL_CONTENTS]), dim=-1)
        styles = normalize(self.model.encode_contents([f"{s} style" for s in ALL_STYLES]), dim=-1)
        own_content = share((features @ contents.T).argmax(dim=1), content)
        own_style = share((features @ styles.T).argmax(dim=1), style)
        return [
            at_least("judge CLIP, zero-shot on fresh drawings: content", judged["judge content"], 0.97),
            at_least("judge CLIP, zero-shot on fresh drawings: style", judged["judge style"], 0.97),
            at_least("conditioning CLIP, the same: content", own_content, 0.95),
            at_least("conditioning CLIP, the same: style", own_style, 0.97),
        ]

    def text_to_image(self) -> list[Row]:
        """Every content in every style by prompt, and every content by a prompt that names no style."""
        pairs = [(c, s) for c in range(len(ALL_CONTENTS)) for s in range(len(ALL_STYLES))]
        named = [caption(ALL_CONTENTS[c], ALL_STYLES[s]) for c, s in pairs]
        bare = [content_prompt(ALL_CONTENTS[c]) for c in range(len(ALL_CONTENTS)) for _ in range(10)]
        prompts = named + bare
        dim = self.model.encode_contents(["dog"]).shape[1]
        images = self.generate(prompts, torch.zeros(len(prompts), dim), scale=0.0)
        content = torch.cat([torch.tensor(pairs)[:, 0], torch.arange(len(ALL_CONTENTS)).repeat_interleave(10)])
        contents = self.seen("text to image", images, content=content)
        styles = self.seen("text to image, style named", images[: len(pairs)], style=torch.tensor(pairs)[:, 1])
        self.seen("text to image, no style named", images[len(pairs) :], content=content[len(pairs) :])
        return [
            at_least("text to image: content", contents["judge content"], 0.90),
            at_least("text to image: style, where the prompt names one", styles["judge style"], 0.90),
        ]

    def image_prompt(self) -> list[Row]:
        """The IP-Adapter with an empty prompt: does the picture show what the reference shows?"""
        images, content, style = fresh(ALL_CONTENTS, ALL_STYLES, 1)
        made = self.generate([""] * len(images), self.model.encode_images(images), scale=1.0)
        shares = self.seen("image only", made, content=content, style=style)
        return [
            at_least("IP-Adapter, image only: content", shares["judge content"], 0.80),
            at_least("IP-Adapter, image only: style", shares["judge style"], 0.90),
        ]

    def leak(self) -> list[Row]:
        """The IP-Adapter at scale 1 with a prompt for another content: whose content is drawn?"""
        images, content, style = fresh(CONTENTS, ALL_STYLES, self.each)
        rows = torch.arange(len(images)).repeat_interleave(len(PROMPTS))
        asked = torch.tensor([ALL_CONTENTS.index(c) for c in PROMPT_CONTENTS]).repeat(len(images))
        features = self.model.encode_images(images)[rows]
        made = self.generate(PROMPTS * len(images), features, scale=1.0)
        leaked = self.seen("leak to the reference", made, content=content[rows], style=style[rows])
        self.seen("asked content, against the reference", made, content=asked)
        return [
            at_least("IP-Adapter, scale 1, another content asked for: leak", leaked["judge content"], 0.30),
            at_least("IP-Adapter, scale 1, the same: style", leaked["judge style"], 0.85),
        ]

    def cost(self) -> list[Row]:
        """Size of what is shipped, and time for 150 pictures of 20 steps under guidance."""
        megabytes = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) / 1e6
        settings, self.settings = self.settings, SamplingSettings(**{**vars(self.settings), "steps": 20})
        dim = self.model.encode_contents(["dog"]).shape[1]
        start = time.perf_counter()
        self.generate(["A rocket"] * 150, torch.zeros(150, dim), scale=1.0)
        seconds, self.settings = time.perf_counter() - start, settings
        return [
            Row("shipped weights, MB", megabytes, "<= 40", megabytes <= 40),
            Row(f"150 pictures, 20 steps, {torch.get_num_threads()} threads, s", seconds, "<= 60", seconds <= 60),
        ]


def at_least(what: str, value: float, bar: float) -> Row:
    """A row that holds from `bar` up."""
    return Row(what, value, f">= {bar:.2f}", value >= bar)


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| | measured | bar | |", "|---|---|---|---|"]
    for row in rows:
        digits, verdict = (3 if row.value <= 1 else 1), ("holds" if row.holds else "MISSED")
        lines.append(f"| {row.what} | {row.value:.{digits}f} | {row.bar} | {verdict} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="denoising steps")
    parser.add_argument("--guidance-scale", type=float, default=4.0, help="classifier-free guidance")
    parser.add_argument("--batch-size", type=int, default=50, help="pictures at a time")
    parser.add_argument("--each", type=int, default=1, help="references of each content and style in the leak test")
    parser.add_argument("--output", type=to_path, default=Path("outputs/miniature/bars.json"), help="all shares: JSON")
    arguments = parser.parse_args()
    settings = SamplingSettings(steps=arguments.steps, guidance_scale=arguments.guidance_scale)
    measurement = Measurement(settings, arguments.batch_size, arguments.each)
    rows: list[Row] = []
    for stage in ("encoders", "text_to_image", "image_prompt", "leak", "cost"):
        rows += getattr(measurement, stage)()
        _log.info("%s done", stage)
    _log.info("%s", table(rows))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(
        json.dumps({"bars": [row._asdict() for row in rows], "all": measurement.details}, indent=1)
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        main()
