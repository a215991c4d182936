"""A scores folder with known regularities, and its pictures and references, without any network."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from callbacks.scoring.scored import Scored
from callbacks.scoring.table import KEYS, Table, write_table

CLIP, CLASSIFIER = "miniature", "miniature classifier"
REFERENCES = tuple(product(("dog", "frog", "ship"), ("line art", "pop art")))  # content, style
PROMPTS = ("A bench", "A human")
TYPES = {"sample": pa.int64(), "step": pa.int64(), "seed": pa.int64(), "share_masked": pa.float64()}
SCORES = (
    *("alignment/text", "alignment/image", "alignment/content", "alignment/style_difference"),
    *("leakage/leaked", "leakage/leaked_among_all"),
    *("published/fidelity", "published/style_score", "published/leakage_score"),
    *("agreement/style", "agreement/prompt", "diversity"),
)
LEVELS = (1.0, 0.6, 0.2)
THETAS = (0.5, 0.7, 0.9)


class Plan(NamedTuple):
    """One group: the stronger its style (0 to 1), the more its pictures leak."""

    method: str
    varied: dict[str, Any]
    style: float
    share_masked: float | None = None

    @property
    def setting(self) -> str:
        return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in self.varied.items())


PLANS = (
    *(Plan("ip_adapter", {"sampling.scale": scale}, scale) for scale in LEVELS),
    *(
        Plan("instantstyle", {"condition.strength": strength, "sampling.scale": scale}, scale * (1 - 0.5 * strength))
        for strength, scale in product(LEVELS, LEVELS)
    ),
    Plan("masking", {}, 0.4, 0.3),
    *(
        Plan("quantile_masking", {"condition.theta": theta, "condition.drop": drop}, level, 1 - theta)
        for drop, theta in product(("high", "low"), THETAS)
        for level in [theta - 0.3 if drop == "high" else 0.9]
    ),
)


def write_scored_folder(
    folder: Path, plans: Sequence[Plan] = PLANS, samples: int = 2, seed: int = 0, pictures: bool = True
) -> Path:
    """Write scores.csv, scores.parquet, scores.json and, if wanted, all PNG `pictures`; returns `folder`."""
    rows: list[dict[str, Any]] = []
    for place, plan in enumerate(plans):
        # Most of the noise is the same for all groups: they share references, prompts and seeds.
        shared, own = np.random.default_rng(seed), np.random.default_rng([seed, place])
        for (content, style), prompt, sample in product(REFERENCES, PROMPTS, range(samples)):
            reference = f"{content}-{style}".replace(" ", "-")
            name = f"{plan.method} {plan.setting} {reference} {prompt} {sample}".replace(" ", "-").replace(",", "")
            key: dict[str, Any] = {
                "path": str(folder / "pictures" / f"{name}.png"),
                "reference_path": str(folder / "references" / f"{reference}.png"),
                **{"method": plan.method, "setting": plan.setting, "share_masked": plan.share_masked},
                **{"reference": reference, "content": content, "style": style, "content_image": None},
                **{"prompt": prompt, "sample": sample, "seed": 100 + sample},
            }
            noise = shared.normal(size=4) + 0.3 * own.normal(size=4)
            rows.append({**key, "judge": CLIP, **clip_scores(plan.style, noise)})
            rows.append({**key, "judge": CLASSIFIER, **classifier_scores(plan.style, noise, prompt)})
            if pictures:
                draw(Path(key["reference_path"]), REFERENCES.index((content, style)), 1.0)
                draw(Path(key["path"]), REFERENCES.index((content, style)), plan.style)
    about = {
        "judges": [CLIP, CLASSIFIER],
        "pictures": len(rows) // 2,
        "groups": [described(plan, len(rows) // 2 // len(plans)) for plan in plans],
        "failures": {"elsewhere/broken.png": "image file is truncated"},
        "sources": ["predictions/a", "predictions/b"],
    }
    return write_rows(folder, rows, about)


def written(folder: Path, *plans: Plan) -> Scored:
    """The scores of `plans`, without pictures."""
    return Scored.read(write_scored_folder(folder, plans, pictures=False))


def write_rows(folder: Path, rows: Sequence[dict[str, Any]], about: dict[str, Any]) -> Path:
    """Write `rows` and `about` in the format of scoring; what a row lacks is null."""
    types = {name: TYPES.get(name, pa.string()) for name in KEYS} | dict.fromkeys(SCORES, pa.float64())
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
    write_table(folder, Table(pa.table(columns), {"cut_texts": {}, **about}))
    return folder


def described(plan: Plan, pictures: int) -> dict[str, Any]:
    """One group as `scores.json` tells of it."""
    settings: dict[str, Any] = {"method": plan.method, "condition": {}, "sampling": {"scale": 1.0, "steps": 30}}
    for name, value in plan.varied.items():
        part, last = name.split(".")
        settings[part][last] = value
    named = {"method": plan.method, "setting": plan.setting, "varied": plan.varied, "step": None}
    return {**named, "settings": settings, "pictures": pictures}


def clip_scores(style: float, noise: np.ndarray) -> dict[str, float]:
    """The scores of one picture, from the definitions; `style` moves it from its prompt to its reference."""
    text, image, content = np.array([0.27, 0.4, 0.16]) + style * np.array([-0.07, 0.3, 0.09]) + 0.03 * noise[:3]
    leaked = content > text
    return {
        "alignment/text": text,
        "alignment/image": image,
        "alignment/content": content,
        "alignment/style_difference": image - content,
        "leakage/leaked": float(leaked),
        "leakage/leaked_among_all": float(leaked and noise[3] > -0.5),
        "published/fidelity": float(not leaked),
        "published/style_score": 0.0 if leaked else image - content,
        "published/leakage_score": 1.0 if leaked else content / 0.28,
        "diversity": 0.3 - 0.2 * style + 0.02 * noise[3],
    }


def classifier_scores(style: float, noise: np.ndarray, prompt: str) -> dict[str, float | None]:
    """What the classifier sees; it knows no benches, so it cannot weigh them against the reference's content."""
    sees_content = float(style + 0.3 * noise[0] > 0.7)
    return {
        "leakage/leaked": None if prompt == "A bench" else sees_content,
        "leakage/leaked_among_all": sees_content,
        "agreement/style": float(style + 0.3 * noise[1] > 0.3),
        "agreement/prompt": 1 - sees_content,
    }


def draw(path: Path, number: int, style: float) -> None:
    """A small picture in the colour of its reference, the paler the less style it has; drawn once."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(round(255 - style * (255 - 40 * ((number * step) % 6))) for step in (1, 2, 5))
    picture = Image.new("RGB", (16, 16), "white")
    picture.paste(colour, (3, 3, 13, 13))
    picture.save(path)
