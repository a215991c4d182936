"""What judges say of the pictures of one evaluation, on this rank and then of all, as the rows of a table."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.ranks import from_all_ranks
from callbacks.scoring.functional import diversity
from callbacks.scoring.groups import siblings_of
from callbacks.scoring.judge import COLUMNS, DIVERSITY, Judge
from callbacks.scoring.metrics import Verdicts
from callbacks.scoring.table import Table, make_table
from lightning_modules.outputs import Predicted


class Rows:
    """Scores of one evaluation by judges, on `device`.

    A leak is sought among `contents`, prompts; None: among those that the batches tell.
    """

    def __init__(self, judges: Sequence[Judge], contents: Sequence[str] | None, device: torch.device) -> None:
        self.judges, self.contents = [judge.to(device) for judge in judges], contents
        self._told = Predicted([], [], [])  # what the batches tell besides their images
        self._said = {judge.name: Verdicts().to(device) for judge in judges}

    def add(self, batch: Predicted) -> None:
        """Let every judge score a batch, at least 0 pictures."""
        _add(self._told, batch)
        for judge in self.judges if batch.predictions else ():
            self._said[judge.name].update(judge.verdict(batch, self._asked))

    def gather(self) -> Predicted:
        """What all ranks were told besides the images, pictures rank by rank; called on every rank."""
        every = from_all_ranks(self._told)
        self._told = Predicted([], [], [])
        for told in every:
            _add(self._told, told)
        return self._told

    def table(self, step: int | None = None, **about: Any) -> Table:
        """All rows after `gather`, in the order of the run, and what else is told of them; called on every rank."""
        told = self._told
        order = torch.tensor(told.positions or range(len(told.predictions))).argsort()
        predictions = [told.predictions[place] for place in order.tolist()]
        siblings, values = torch.tensor(siblings_of(predictions)), {}
        for name, verdicts in self._said.items():
            values[name], generated = (part[order] for part in verdicts.compute())
            if generated.shape[1]:
                known, has_sibling = diversity(generated, siblings)
                values[name][has_sibling, COLUMNS.index(DIVERSITY)] = known.to(values[name].dtype)
        about = {"failures": told.failures, "contents": self._asked, **about}
        return make_table(predictions, values, step, cut_texts=_cut_texts(self.judges), **about)

    @property
    def _asked(self) -> list[str]:
        return sorted(set(self._told.contents if self.contents is None else self.contents))


def _add(told: Predicted, batch: Predicted) -> None:
    told.predictions += batch.predictions
    told.positions += batch.positions
    told.unread += batch.unread
    told.failures |= batch.failures
    told.contents, told.sources = batch.contents or told.contents, batch.sources or told.sources


def _cut_texts(judges: Sequence[Judge]) -> dict[str, dict[str, int]]:
    """The texts of all ranks that judges have cut, by the judge's name, with their tokens; warns of them."""
    every = from_all_ranks({judge.name: judge.cut_texts for judge in judges})
    found = {name: dict(sorted(cut for own in every for cut in own[name].items())) for name in every[0]}
    found = {name: texts for name, texts in found.items() if texts}
    for name, texts in found.items():
        longest = max(texts, key=texts.__getitem__)
        rank_zero_warn(
            f"Texts that are longer than the judge `{name}` reads: {len(texts)}, such as {longest!r} "
            f"({texts[longest]} tokens). Pictures are compared with their beginnings alone."
        )
    return found
