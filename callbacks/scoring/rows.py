"""What judges say of the pictures of one evaluation, on this rank and then of all, as the rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from callbacks.ranks import from_all_ranks
from callbacks.scoring import functional as scores
from callbacks.scoring.groups import siblings_of
from callbacks.scoring.judge import COLUMNS, DIVERSITY, Judge, cut_texts
from callbacks.scoring.metrics import Gathered, PictureScores
from callbacks.scoring.table import Table, make_table
from lightning_modules.outputs import Predicted, Prediction


@dataclass
class Told:
    """What the batches of a rank have told besides their pictures."""

    predictions: list[Prediction] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    unread: list[Prediction] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    contents: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def add(self, batch: Predicted) -> None:
        """Add what a batch tells."""
        self.predictions += batch.predictions
        self.positions += batch.positions
        self.unread += batch.unread
        self.failures |= batch.failures
        self.contents, self.sources = batch.contents, batch.sources


class Rows:
    """Scores of one evaluation.

    Args:
        judges: who scores, on `device`.
        contents: content prompts among which a leak is sought; None: those that the batches tell.
        device: of the judges.
    """

    def __init__(self, judges: Sequence[Judge], contents: Sequence[str] | None, device: torch.device) -> None:
        self.judges, self.contents = [judge.to(device) for judge in judges], contents
        self._said = {judge.name: PictureScores().to(device) for judge in judges}
        self._told = Told()

    def add(self, batch: Predicted) -> None:
        """Let every judge score a batch, at least 0 pictures."""
        self._told.add(batch)
        if batch.predictions:
            for judge in self.judges:
                self._said[judge.name].update(judge.verdict(batch, self._asked))

    def gather(self, trainer: Trainer) -> Told:
        """What all ranks were told, pictures rank by rank; called on every rank."""
        every = from_all_ranks(self._told)
        self._told = Told(contents=self._told.contents, sources=self._told.sources)
        for each in every:
            self._told.predictions += each.predictions
            self._told.positions += each.positions
            self._told.unread += each.unread
            self._told.failures |= each.failures
        return self._told

    def table(self, trainer: Trainer, step: int | None = None, **about: Any) -> Table:
        """All rows after `gather`, in the order of the run; called on every rank.

        Args:
            trainer: whose ranks have scored.
            step: training step that the pictures are of.
            about: what else is told of them.
        """
        told = self._told
        order = torch.tensor(told.positions or range(len(told.predictions))).argsort()
        predictions = [told.predictions[place] for place in order.tolist()]
        values = {name: _ordered(metric.compute(), order, predictions) for name, metric in self._said.items()}
        about = {"failures": told.failures, "contents": self._asked, **about}
        return make_table(predictions, values, step, cut_texts=cut_texts(trainer, self.judges), **about)

    @property
    def _asked(self) -> list[str]:
        return sorted(set(self._told.contents if self.contents is None else self.contents))


def _ordered(gathered: Gathered, order: Tensor, predictions: Sequence[Prediction]) -> Tensor:
    """Values in the order of the run, with how diverse the pictures are, which is told when all are together."""
    values, generated = gathered.values[order], gathered.generated[order]
    if generated.shape[1]:
        known, has_sibling = scores.diversity(generated, torch.tensor(siblings_of(predictions)))
        values[has_sibling, COLUMNS.index(DIVERSITY)] = known.to(values.dtype)
    return values
