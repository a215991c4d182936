"""What the miniature's training stages share: the trainer, its checkpoints, the averaged weights, the options."""

import argparse
import hashlib
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader

from scripts.miniature.images import Batches
from scripts.paths import to_path

WEIGHTS = Path(__file__).parents[2] / "weights" / "miniature"


def options(description: str, steps: int, batch_size: int, lr: float) -> argparse.ArgumentParser:
    """The options that every stage has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=steps, help="training steps")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="images a step")
    parser.add_argument("--lr", type=float, default=lr, help="peak learning rate of the one-cycle schedule")
    parser.add_argument("--schedule-steps", type=int, help="length of the schedule, if not that of the training")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and noise")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--per-pair", type=int, default=200, help="drawn images for each content and style")
    parser.add_argument("--work", type=to_path, default=Path("outputs/miniature"), help="checkpoints and drawn images")
    parser.add_argument("--weights", type=to_path, default=WEIGHTS, help="where the finished weights are written")
    return parser


class Stage(L.LightningModule):
    """One training stage: AdamW with a one-cycle schedule over the trainable parameters."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.lr, self.seed = arguments.lr, arguments.seed
        self.steps: int = arguments.schedule_steps or arguments.steps

    def noise_source(self) -> torch.Generator:
        """The generator of this step's chance, from the seed and the step alone."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)

    def configure_optimizers(self) -> dict[str, object]:  # type: ignore[override]
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps + 1, pct_start=0.08)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(stage: Stage, arguments: argparse.Namespace, rows: int, name: str, decay: float = 0.998) -> None:
    """Train a stage, resuming from its last checkpoint; the averaged weights are in the stage afterwards."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    folder = arguments.work / name
    trainer = L.Trainer(
        max_steps=arguments.steps,
        accelerator="cpu",
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        default_root_dir=folder,
        log_every_n_steps=20,
        callbacks=[
            ModelCheckpoint(folder, save_last=True, every_n_train_steps=200, save_top_k=1, monitor=None),
            EMAWeightAveraging(decay=decay),
            TQDMProgressBar(refresh_rate=20),
        ],
    )
    batches = Batches(rows, arguments.batch_size, arguments.steps, arguments.seed)
    last = folder / "last.ckpt"
    trainer.fit(stage, DataLoader(batches, batch_size=None), ckpt_path=str(last) if last.exists() else None)


def fingerprint(folder: Path) -> str:
    """Short hash of the weights in a folder, in the name of what was computed with them."""
    return hashlib.blake2b(b"".join(path.read_bytes() for path in sorted(folder.glob("*.safetensors")))).hexdigest()[
        :12
    ]
