"""Predicts memory and arithmetic of training and sampling in the published sizes, without weights or accelerator.

The UNet runs on tensors that have shapes and no data, through the operators of a 16-bit accelerator:

    python -m scripts.footprint
    python -m scripts.footprint --family sdxl --resolution 768 --batch 1 2 --markdown
"""

import argparse
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from scripts.architectures import ARCHITECTURES, Architecture, random_ip_adapter
from scripts.stopping import stoppable
from scripts.unet_work import Work, measure

GIB = 2**30
CARDS = (24, 12)  # GiB
RESERVE = 1.5  # GiB of a card that are left for what is not counted
# Weight, gradient and both moments of AdamW, in float32.
_TRAINED_BYTES = 16
NOTES = f"""\
Counted: all weights in 16 bit, but the VAE in float32; for `fit` the Image-Adapter with its gradients and AdamW's
moments in float32, and what the UNet's forward pass keeps for the backward pass, two rows a reference (each storage
once, parameters apart), with gradient checkpointing also what the largest block keeps when it is computed again.
Attention is a fused kernel, which keeps q, k, v, its output and one number a row and head, never the matrix.
A multiplication with its addition is 2 FLOPs; only matrix products, convolutions and attention count as FLOPs.
Gradients reach the image tokens alone: what comes before the first cross-attention keeps nothing, and frozen linear
layers keep no inputs; convolutions keep theirs, as torch has them do.
Offload: the UNet and the image projection alone are on the accelerator.
Not counted: CUDA's context and libraries, workspaces, fragmentation, tensors that live only within one operator or one
step of the backward pass, VAE and CLIP at work, mixed precision (autocast makes float32 copies). {RESERVE} GiB of a
card are reserved for these: a card of 12 is named where at most {12 - RESERVE} GiB are predicted."""


class Sheet(NamedTuple):
    """A table to be shown."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def parameters(architecture: Architecture) -> dict[str, int]:
    """Parameters by part, the IP-Adapter's two last."""
    with torch.device("meta"):
        counts = {part: architecture.build(part).num_parameters() for part in architecture.parts}
        weights = random_ip_adapter(architecture, torch.float32)
    parts = {"ip_adapter": "ip_adapter", "image_projection": "image_proj"}
    return counts | {name: sum(map(Tensor.numel, weights[part].values())) for name, part in parts.items()}


def resident_bytes(counts: dict[str, int], offload: bool) -> int:
    """Bytes of the frozen weights on the accelerator in training."""
    at_work = ("unet", "ip_adapter", "image_projection")
    return sum(count * (4 if part == "vae" else 2) for part, count in counts.items() if part in at_work or not offload)


def peak_bytes(resident: int, work: Work, dim: int, batch: int, checkpointing: bool) -> int:
    """Predicted memory of `fit` with an Image-Adapter of `dim` elements at `batch` references a step."""
    trained = (dim * dim + 3 * dim) * _TRAINED_BYTES
    per_reference = work.kept_checkpointed + work.recomputed if checkpointing else work.kept
    return resident + trained + batch * per_reference


def sheets(family: str, resolution: int, batches: Sequence[int]) -> list[Sheet]:
    """Tables of the weights, of the UNet's work and of the memory that training takes."""
    architecture = ARCHITECTURES[family]
    counts, work = parameters(architecture), measure(architecture, resolution)
    title, dim = f"{family} at {resolution} x {resolution}", architecture.image_encoder["projection_dim"]
    fitting = []
    for checkpointing, offload in product((False, True), repeat=2):
        resident = resident_bytes(counts, offload)
        sizes = [peak_bytes(resident, work, dim, batch, checkpointing) / GIB for batch in batches]
        flags = ["yes" if flag else "no" for flag in (checkpointing, offload)]
        fitting.append([*flags, *(f"{size:.1f} ({_cards(size)})" for size in sizes)])
    columns = ["checkpointing", "offload", *(f"batch {batch}" for batch in batches)]
    return [
        Sheet(f"{family}: weights", ["part", "parameters", "float32, GiB", "16 bit, GiB"], _sizes(counts)),
        Sheet(f"{title}: UNet with IP-Adapter", ["what", "how much"], _costs(work)),
        Sheet(f"{title}: predicted memory of fit in GiB (cards it fits)", columns, fitting),
    ]


def _sizes(counts: dict[str, int]) -> list[list[str]]:
    whole = {**counts, "sum": sum(counts.values())}
    return [[part, f"{n:,}", f"{4 * n / GIB:.2f}", f"{2 * n / GIB:.2f}"] for part, n in whole.items()]


def _costs(work: Work) -> list[list[str]]:
    return [
        ["forward, one row", f"{work.forward / 1e12:.3f} TFLOPs"],
        ["denoising step with guidance (2 rows)", f"{work.denoising_step / 1e12:.3f} TFLOPs"],
        ["training step, a reference (2 rows, forward + backward)", f"{work.training_step / 1e12:.3f} TFLOPs"],
        ["kept for backward, a reference", f"{work.kept / GIB:.3f} GiB"],
        ["the same with gradient checkpointing", f"{work.kept_checkpointed / GIB:.3f} GiB"],
        ["largest block computed again", f"{work.recomputed / GIB:.3f} GiB"],
    ]


def _cards(size: float) -> str:
    return ", ".join(str(card) for card in CARDS if size + RESERVE <= card) or "none"


def as_markdown(sheet: Sheet) -> str:
    """The table in Markdown."""
    lines = [sheet.columns, ["---"] * len(sheet.columns), *sheet.rows]
    return "\n".join([f"**{sheet.title}**", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def as_table(sheet: Sheet) -> Table:
    """The table for the terminal."""
    table = Table(*sheet.columns, title=sheet.title)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m scripts.footprint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", nargs="+", choices=list(ARCHITECTURES), default=list(ARCHITECTURES))
    parser.add_argument("--resolution", type=int, help="pixels of a side (default: what the model was trained for)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8], help="references a step (default: 1 4 8)")
    parser.add_argument("--markdown", action="store_true", help="Markdown in place of tables for the terminal")
    options = parser.parse_args(args)
    console = Console(soft_wrap=True)
    for family in options.family:
        native = int(ARCHITECTURES[family].vae["sample_size"])
        try:
            made = sheets(family, options.resolution or native, options.batch)
        except ValueError as error:
            parser.error(str(error))
        for sheet in made:
            console.print(as_markdown(sheet) if options.markdown else as_table(sheet), markup=False)
    console.print(NOTES, markup=False, highlight=False)


if __name__ == "__main__":
    with stoppable():
        main()
