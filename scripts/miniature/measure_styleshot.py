"""Measure what the miniature's StyleShot can do, beside its IP-Adapter, and print the table of the README."""

import argparse
import json
import logging
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from datamodules.miniature.generate import draw
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, content_prompt
from lightning_modules.diffusion.config import Backbone, SamplingSettings
from lightning_modules.diffusion.sampling import sample
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.styleshot.content_maps import map_pixels
from lightning_modules.styleshot.detectors import EdgeDetector
from scripts.miniature.images import ALL_CONTENTS, ALL_STYLES, FRESH_SEED
from scripts.miniature.measure import PROMPTS, Judges, Row, at_least, fresh, share, table
from scripts.miniature.training import WEIGHTS
from scripts.paths import to_path
from scripts.stopping import stoppable

_log = logging.getLogger("measure_styleshot")
PROMPTS_EACH = 2  # of the five, in turn
SCALES = (1.0, 0.8, 0.6, 0.4, 0.2)
STYLESHOT = Backbone(
    style_encoder="miniature/styleshot/style_aware_encoder.safetensors",
    ip_adapter="miniature/styleshot/ip.safetensors",
    style_heads=6,
    content_fusion=True,
)


class Drawn:
    """Pictures of prompts for other contents than the references', and what the judge sees in them."""

    def __init__(self, settings: SamplingSettings, batch_size: int) -> None:
        self.settings, self.batch_size, self.judges = settings, batch_size, Judges(WEIGHTS)

    def __call__(
        self,
        model: StableDiffusion,
        prompts: list[str],
        features: Tensor,
        scale: float = 1.0,
        maps: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Indices `(n,)` of content and style by judge, with seeds 0, 1, 2, ..."""
        settings = SamplingSettings(**{**vars(self.settings), "scale": scale})
        parts = []
        for start in range(0, len(prompts), self.batch_size):
            rows = slice(start, start + self.batch_size)
            text = model.encode_prompts(prompts[rows])
            lines = None if maps is None else maps[rows]
            seeds = list(range(start, start + len(text.states)))
            parts.append(sample(model, settings, text, features[rows], seeds, content_maps=lines))
        return self.judges(torch.cat(parts))


def text_driven(styleshot: StableDiffusion, drawn: Drawn) -> tuple[list[Row], dict[str, float]]:
    """References in all styles x prompts for other contents, by StyleShot and by the IP-Adapter at several scales."""
    images, content, style = fresh(CONTENTS, ALL_STYLES, 1)
    rows = torch.arange(len(images)).repeat_interleave(PROMPTS_EACH)
    turns = [turn % len(PROMPTS) for turn in range(len(rows))]
    prompts = [PROMPTS[turn] for turn in turns]
    asked = torch.tensor([ALL_CONTENTS.index(PROMPT_CONTENTS[turn]) for turn in turns])
    details: dict[str, float] = {}

    def shares(name: str, seen: dict[str, Tensor]) -> None:
        for judge in ("judge", "classifier"):
            details[f"{name}: {judge} style"] = share(seen[f"{judge} style"], style[rows])
            details[f"{name}: {judge} leak"] = share(seen[f"{judge} content"], content[rows])
            details[f"{name}: {judge} asked content"] = share(seen[f"{judge} content"], asked)

    shares("StyleShot", drawn(styleshot, prompts, styleshot.encode_images(images)[rows]))
    ip_adapter = StableDiffusion.load(Backbone())
    features = ip_adapter.encode_images(images)[rows]
    for scale in SCALES:
        shares(f"IP-Adapter {scale}", drawn(ip_adapter, prompts, features, scale))
    own = details["StyleShot: judge style"]
    leak, equal = details["StyleShot: judge leak"], leak_at_style(details, own)
    table_rows = [
        at_least("StyleShot, text-driven: style", own, 0.80),
        Row("StyleShot, the same: leak, against the IP-Adapter at equal style", leak, f"< {equal:.3f}", leak < equal),
    ]
    return table_rows, details | {"IP-Adapter at StyleShot's style: judge leak": equal}


def leak_at_style(details: dict[str, float], style: float) -> float:
    """The IP-Adapter's leak where its style is `style`: between two scales linearly, at the ends that of the end."""
    points = sorted(
        (details[f"IP-Adapter {scale}: judge style"], details[f"IP-Adapter {scale}: judge leak"]) for scale in SCALES
    )
    for (low, leak_low), (high, leak_high) in pairwise(points):
        if low <= style <= high and high > low:
            return leak_low + (leak_high - leak_low) * (style - low) / (high - low)
    return points[0][1] if style < points[0][0] else points[-1][1]


def image_driven(styleshot: StableDiffusion, drawn: Drawn) -> tuple[list[Row], dict[str, float]]:
    """Every content as a content image in every style, whose reference shows another content."""
    pairs = [(c, s) for c in range(len(ALL_CONTENTS)) for s in range(len(ALL_STYLES))]
    names = [ALL_CONTENTS[c] for c, _ in pairs]
    detector, size = EdgeDetector(), styleshot.image_size[::-1]
    lines = [map_pixels(detector(draw(name, "plain", FRESH_SEED)), size) for name in ALL_CONTENTS]
    references = [draw(CONTENTS[(c + s) % len(CONTENTS)], ALL_STYLES[s], FRESH_SEED + 1 + c) for c, s in pairs]
    maps, features = torch.stack([lines[c] for c, _ in pairs]), styleshot.encode_images(references)
    content, style = torch.tensor(pairs).unbind(1)
    details: dict[str, float] = {}
    for kind, prompts in (("", [content_prompt(name) for name in names]), (" without a prompt", [""] * len(pairs))):
        seen = drawn(styleshot, prompts, features, maps=maps)
        for judge in ("judge", "classifier"):
            details[f"image-driven{kind}: {judge} content"] = share(seen[f"{judge} content"], content)
            details[f"image-driven{kind}: {judge} style"] = share(seen[f"{judge} style"], style)
    rows = [
        at_least("StyleShot, image-driven: content", details["image-driven: judge content"], 0.85),
        at_least("StyleShot, image-driven: style", details["image-driven: judge style"], 0.70),
    ]
    return rows, details


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="denoising steps")
    parser.add_argument("--guidance-scale", type=float, default=4.0, help="classifier-free guidance")
    parser.add_argument("--batch-size", type=int, default=50, help="pictures at a time")
    parser.add_argument("--output", type=to_path, default=Path("outputs/miniature/styleshot.json"), help="all shares")
    arguments = parser.parse_args()
    settings = SamplingSettings(steps=arguments.steps, guidance_scale=arguments.guidance_scale)
    drawn, styleshot = Drawn(settings, arguments.batch_size), StableDiffusion.load(STYLESHOT)
    rows: list[Row] = []
    details: dict[str, float] = {}
    for stage in (text_driven, image_driven):
        more, told = stage(styleshot, drawn)
        rows, details = rows + more, details | told
        _log.info("%s done", stage.__name__)
    megabytes = sum(file.stat().st_size for file in (WEIGHTS / "styleshot").iterdir()) / 1e6
    details["shipped weights of StyleShot, MB"] = megabytes
    _log.info("%s\n%s", table(rows), json.dumps(details, indent=1))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"bars": [row._asdict() for row in rows], "all": details}, indent=1))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with stoppable():
        main()
