"""The module of `maskst test`: hands pictures that were generated before to the callbacks that score them."""

from lightning import LightningModule

from datamodules.batches import PredictionBatch
from lightning_modules.outputs import Predicted


class Scoring(LightningModule):
    """Holds no network and computes nothing: the judges belong to the callbacks."""

    def test_step(self, batch: PredictionBatch, batch_idx: int) -> Predicted:  # type: ignore[override]
        """The pictures of the batch, each beside its reference."""
        predictions = batch["predictions"]
        references = [batch["references"][prediction.reference_path] for prediction in predictions]
        return Predicted(batch["images"], predictions, references, batch["failures"])
