"""Measure what the miniature's StyleShot can do, beside its IP-Adapter, and print the table of docs/styleshot.md."""

from collections.abc import Sequence
from itertools import pairwise

import torch

from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.styleshot.detectors import EdgeDetector, map_pixels
from scripts.miniature.measure import NAMED_CONTENTS, PAIRS, PROMPTS, Measurement, fresh, megabytes, parser_of, run
from scripts.miniature.training import ALL_CONTENTS, ALL_STYLES, FRESH_SEED, WEIGHTS
from scripts.stopping import stoppable

PROMPTS_EACH = 2  # of the five, in turn
SCALES = (1.0, 0.8, 0.6, 0.4, 0.2)
STYLESHOT = Backbone(
    style_encoder="miniature/styleshot/style_aware_encoder.safetensors",
    ip_adapter="miniature/styleshot/ip.safetensors",
    style_heads=6,
    content_fusion=True,
)
EQUAL = "IP-Adapter at StyleShot's style: judge leak"
BARS = {
    "StyleShot, text-driven: style": ("StyleShot: judge style", ">= 0.80"),
    "StyleShot, the same: leak, against the IP-Adapter at equal style": ("StyleShot: judge leak", f"< {EQUAL}"),
    "StyleShot, image-driven: content": ("image-driven: judge content", ">= 0.85"),
    "StyleShot, image-driven: style": ("image-driven: judge style", ">= 0.70"),
}


def text_driven(of: Measurement) -> None:
    """References in all styles x prompts for other contents, by StyleShot and by the IP-Adapter at several scales."""
    images, content, style = fresh(CONTENTS, ALL_STYLES, 1)
    rows = torch.arange(len(images)).repeat_interleave(PROMPTS_EACH)
    turns = [turn % len(PROMPTS) for turn in range(len(rows))]
    asked = torch.tensor([ALL_CONTENTS.index(PROMPT_CONTENTS[turn]) for turn in turns])

    prompts = [PROMPTS[turn] for turn in turns]
    truths = {"style": style[rows], "leak": content[rows], "asked_content": asked}
    of.note("StyleShot", of.generate(prompts, of.model.encode_images(images)[rows]), **truths)
    styleshot, of.model = of.model, StableDiffusion.load(Backbone())
    features = of.model.encode_images(images)[rows]
    for scale in SCALES:
        of.note(f"IP-Adapter {scale}", of.generate(prompts, features, scale), **truths)
    of.model = styleshot
    points = [tuple(of.details[f"IP-Adapter {scale}: judge {what}"] for what in ("style", "leak")) for scale in SCALES]
    of.details[EQUAL] = leak_at_style(points, of.details["StyleShot: judge style"])


def leak_at_style(points: Sequence[tuple[float, ...]], style: float) -> float:
    """The leak at a style, from points (style, leak): linearly between two, at the ends that of the end."""
    points = sorted(points)
    for (low, leak_low), (high, leak_high) in pairwise(points):
        if low <= style <= high and high > low:
            return leak_low + (leak_high - leak_low) * (style - low) / (high - low)
    return points[0][1] if style < points[0][0] else points[-1][1]


def image_driven(of: Measurement) -> None:
    """Every content as a content image in every style, whose reference shows another content."""
    detector, size = EdgeDetector(), of.model.image_size[::-1]
    lines = torch.stack([map_pixels(detector(draw(name, "plain", FRESH_SEED)), size) for name in ALL_CONTENTS])
    contents, styles = PAIRS.unbind(1)
    references = [draw(CONTENTS[(c + s) % len(CONTENTS)], ALL_STYLES[s], FRESH_SEED + 1 + c) for c, s in PAIRS.tolist()]
    features = of.model.encode_images(references)
    for kind, prompts in (("", [NAMED_CONTENTS[c] for c in contents]), (" without a prompt", [""] * len(PAIRS))):
        made = of.generate(prompts, features, maps=lines[contents])
        of.note(f"image-driven{kind}", made, content=contents, style=styles)
    of.details["shipped weights of StyleShot, MB"] = megabytes(WEIGHTS / "styleshot")


def main(args: Sequence[str] | None = None) -> None:
    options = parser_of(__doc__, "outputs/miniature/styleshot.json").parse_args(args)
    run(Measurement(StableDiffusion.load(STYLESHOT), options), (text_driven, image_driven), BARS)


if __name__ == "__main__":
    with stoppable():
        main()
