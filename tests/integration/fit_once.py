"""Trains on as many processes as asked and writes the adapter and the losses: run by test_fit.py as a program."""

import sys
from pathlib import Path
from typing import Any

import torch

from lightning_modules.adapters import TextAdapter
from lightning_modules.diffusion.config import Backbone
from tests.fitting import Recorded, module, references, trainer
from tests.float64 import float64


def fit(folder: Path, backbone: str, devices: int) -> None:
    """Two epochs of eleven references in global batches of four, the last of which is odd."""
    options: dict[str, Any] = {"strategy": "ddp", "devices": devices} if devices > 1 else {}
    recorded = Recorded()
    made = module(
        Backbone(model=backbone), adapter=TextAdapter, optimizer=lambda p: torch.optim.SGD(p, lr=5e-3, momentum=0.9)
    )
    made.configure_model()
    before = made.adapter.proj.weight.detach().clone()
    run = trainer(recorded, max_steps=-1, max_epochs=2, precision="64-true", **options)
    run.fit(made, references(folder / "object", batch_size=4 // devices))
    if run.is_global_zero:
        metrics = {key: value.item() for key, value in run.callback_metrics.items()}
        moved = (made.adapter.proj.weight - before).abs().max().item()
        result = {"state": made.adapter.state_dict(), "losses": recorded.losses, "last": metrics, "moved": moved}
        torch.save(result, folder / f"result_{devices}.pt")


if __name__ == "__main__":
    with float64():
        fit(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
