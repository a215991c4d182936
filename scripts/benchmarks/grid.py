"""A grid of references x prompts x samples: this project against diffusers' pipeline, by turns."""

import json
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Trainer
from PIL import Image

from callbacks.prediction_writer import PredictionWriter
from datamodules.batches import Job
from datamodules.miniature.references import MiniatureReferences
from datamodules.style_references import PROMPTS
from lightning_modules.conditions import Masking
from lightning_modules.diffusion.config import MINIATURE, Backbone, SamplingSettings
from lightning_modules.style_transfer import StyleTransfer
from scripts.benchmarks.bars import QUIET, Bar, seconds, spread
from scripts.benchmarks.plain import Plain

# Rounding to 8 bits may go either way where batches of different sizes differ in the last bits of a float.
_LEVELS = 1.0


@dataclass(frozen=True)
class Grid:
    """What is drawn, and how.

    Args:
        references: style references.
        prompts: prompts, at most 5.
        samples: pictures for each reference and prompt.
        batch_size: pictures that this project draws at a time.
        steps: denoising steps.
        guidance_scale: of classifier-free guidance.
        turns: times that both are timed.
    """

    references: int = 8
    prompts: int = 5
    samples: int = 4
    batch_size: int = 40
    steps: int = 20
    guidance_scale: float = 4.0
    turns: int = 3

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return self.references * self.prompts * self.samples

    @property
    def sampling(self) -> SamplingSettings:
        """How this project samples."""
        return SamplingSettings(steps=self.steps, guidance_scale=self.guidance_scale, negative_prompt="")

    def datamodule(self, data: dict[str, Any]) -> MiniatureReferences:
        """The grid's references and jobs."""
        return MiniatureReferences(
            generation_batch_size=self.batch_size,
            prompts=PROMPTS[: self.prompts],
            samples_per_prompt=self.samples,
            predict_references=self.references,
            **data,
        )


class Pair(NamedTuple):
    """A reference and a prompt with their samples: one call of the plain way."""

    image: Path
    content: str
    prompt: str
    seeds: list[int]
    name: str


def pairs_of(datamodule: MiniatureReferences) -> list[Pair]:
    """The calls of the plain way that make a datamodule's grid."""
    datamodule.prepare_data()
    jobs: list[Job] = datamodule.predict_dataloader().source.jobs  # type: ignore[attr-defined]
    groups = groupby(jobs, key=lambda job: (job.reference, job.prompt))
    return [_pair(datamodule.test, *key, [job.seed for job in group]) for key, group in groups]


def _pair(root: str, reference: Any, prompt: str, seeds: list[int]) -> Pair:
    parent = Path(root, reference.key).parent
    image = next(path for path in sorted(parent.iterdir()) if path.stem == Path(reference.key).name)
    return Pair(image, reference.content, prompt, seeds, pair_name(reference.key, prompt))


def pair_name(key: str, prompt: str) -> str:
    """Name of the folder of a pair's pictures."""
    return f"{key.replace('/', ' ')} {prompt}"


def local_folder(backbone: Backbone) -> Path:
    """Folder of the weights, which diffusers is given as well.

    Raises:
        ValueError: the backbone is not one folder on disk.
    """
    folder = MINIATURE if backbone.model == "miniature" else Path(backbone.model)
    if not folder.is_dir() or backbone.image_encoder or backbone.text_tower or backbone.vae:
        raise ValueError(
            f"`backbone.model`: comparing with diffusers takes all weights from one folder on disk; got {backbone}. "
            "Name such a folder, or leave out the parts grid and processes."
        )
    return folder


def adapter_file(backbone: Backbone) -> Path:
    """The IP-Adapter's file, which diffusers is given as well."""
    return Path(backbone.ip_adapter or local_folder(backbone) / "ip_adapter.safetensors")


def draw_ours(module: StyleTransfer, datamodule: MiniatureReferences, out: Path) -> None:
    """The whole grid by the Trainer, as `maskst predict` runs it."""
    trainer = Trainer(callbacks=[PredictionWriter(str(out))], **QUIET)
    trainer.predict(module, datamodule=datamodule, return_predictions=False)


def draw_plain(plain: Plain, pairs: list[Pair], out: Path) -> None:
    """The whole grid by calls of the pipeline."""
    for pair in pairs:
        plain(pair.image, pair.content, pair.prompt, pair.seeds, out / pair.name)


def measure_grid(name: str, backbone: Backbone, data: dict[str, Any], grid: Grid, bar: float) -> list[Bar]:
    """How many times faster this project is, both after loading, medians; and whether both draw the same."""
    pairs = pairs_of(grid.datamodule(data))
    plain = Plain(local_folder(backbone), adapter_file(backbone), grid.steps, grid.guidance_scale)
    module = StyleTransfer(Masking(), backbone, grid.sampling)
    module.configure_model()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(grid.turns):
            mine, stock = Path(folder, f"ours{turn}"), Path(folder, f"plain{turn}")
            ours.append(seconds(lambda out=mine: draw_ours(module, grid.datamodule(data), out)))  # type: ignore[misc]
            theirs.append(seconds(lambda out=stock: draw_plain(plain, pairs, out)))  # type: ignore[misc]
        differences, deviation = compare(mine, stock)
    details: dict[str, float | str] = {
        "of_turns": spread([slow / fast for fast, slow in zip(ours, theirs, strict=True)]),
        "seconds_ours": spread(ours),
        "seconds_diffusers": spread(theirs),
        "pictures": float(grid.pictures),
        "batch": float(grid.batch_size),
    }
    fast, slow = statistics.median(ours), statistics.median(theirs)
    said = {"mean_difference": differences.mean(), "standard_deviation_of_the_pictures": deviation}
    return [
        Bar(f"{name}: speed-up over diffusers", slow / fast, "x", bar, True, details),
        Bar(f"{name}: largest difference", float(differences.max()), "of 255", _LEVELS, False, said),
    ]


def compare(ours: Path, plain: Path) -> tuple[Any, float]:
    """Differences of the pictures in both folders `(pictures, height, width, 3)`, and how much the pictures vary."""
    differences, pictures = [], []
    for file, pair, seed in _written(ours):
        mine, stock = (np.asarray(Image.open(path), dtype=np.int16) for path in (file, plain / pair / f"{seed}.png"))
        differences.append(np.abs(mine - stock))
        pictures.append(mine)
    return np.stack(differences), float(np.stack(pictures).std())


def _written(folder: Path) -> Iterator[tuple[Path, str, int]]:
    for lines in folder.glob("generations-*.jsonl"):
        for line in map(json.loads, lines.read_text().splitlines()):
            yield folder / line["file"], pair_name(line["reference"]["key"], line["prompt"]), line["seed"]
