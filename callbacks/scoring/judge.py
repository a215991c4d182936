"""What every judge has in common, and the scores that it may give to a picture."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_modules.outputs import Predicted

IMAGE, LEAKED, AMONG = "alignment/image", "leakage/leaked", "leakage/leaked_among_all"
STYLE_SEEN, PROMPT_SEEN, DIVERSITY = "agreement/style", "agreement/prompt", "diversity"
COLUMNS = (
    *("alignment/text", IMAGE, "alignment/content", "alignment/style_difference", LEAKED, AMONG),
    *("published/fidelity", "published/style_score", "published/leakage_score", STYLE_SEEN, PROMPT_SEEN, DIVERSITY),
)
"""All scores that a picture can have, in the order of the tables."""


class Verdict(NamedTuple):
    """What a judge says about some pictures."""

    values: dict[str, Tensor]
    """Tag of `COLUMNS` -> (batch,), NaN where it says nothing; rates are 0 or 1, or bool."""
    generated: Tensor | None = None
    """(batch, dim), unit features, which tell how diverse the pictures are; None where the judge cannot say."""

    def table(self) -> Tensor:
        """All values as (batch, len(COLUMNS)) float32 on the CPU, NaN where the judge says nothing."""
        size = len(next(iter(self.values.values())))
        nothing = torch.full((size,), torch.nan)
        return torch.stack([self.values.get(tag, nothing).detach().cpu().float() for tag in COLUMNS], dim=1)


class Judge(ABC):
    """A frozen network that looks at generated pictures; kept outside of modules, so that no checkpoint holds it."""

    cache: str | None
    """Folder in which features are kept from run to run; None keeps them in memory at most."""
    cut_texts: dict[str, int] = {}  # noqa: RUF012  # for all that read no texts
    """Texts that are longer than the judge reads, and of which it read the beginning alone -> their tokens."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The judge's name beside every score."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Move the judge, now or when it is loaded, to `device`."""

    def find(self) -> None:  # noqa: B027  # nothing to be found in a judge that looks when it is made
        """Find, or fetch, the judge's files; raises OSError where they are not to be had."""

    @abstractmethod
    def verdict(self, predicted: Predicted, contents: Sequence[str]) -> Verdict:
        """Scores of pictures, at least one; `contents` are the prompts ("A dog") among which a leak is sought."""


def cut_texts(trainer: Trainer, judges: Sequence[Judge]) -> dict[str, dict[str, int]]:
    """The texts of all ranks that judges have cut, by the judge's name, with their tokens; warns of them."""
    mine = {judge.name: judge.cut_texts for judge in judges}
    every = [trainer.strategy.broadcast(mine, rank) for rank in range(trainer.world_size)]
    found = {name: {text: n for each in every for text, n in sorted(each[name].items())} for name in mine}
    for name, texts in found.items():
        if texts:
            longest = max(texts, key=texts.__getitem__)
            rank_zero_warn(
                f"Texts that are longer than the judge `{name}` reads: {len(texts)}, such as {longest!r} "
                f"({texts[longest]} tokens). Pictures are compared with their beginnings alone."
            )
    return {name: texts for name, texts in found.items() if texts}
