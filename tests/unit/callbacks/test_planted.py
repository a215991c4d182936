"""Sets of pictures whose scores are known before they are scored: the intervals must hold them."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.scoring.bootstrap import Estimate, estimate
from callbacks.scoring.functional import UnitFeatures, agreement, leaked, leaked_among

CONTENTS, REFERENCES, PICTURES = 10, 60, 5
DIM = 32


def near(direction: Tensor, generator: torch.Generator, noise: float = 0.04) -> Tensor:
    return normalize(direction + noise * torch.randn(direction.shape, generator=generator), dim=-1)


class Planted:
    """60 references x 5 pictures; contents are far from each other, styles and noise move everything a little."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.contents = torch.eye(CONTENTS, DIM)
        of_reference = torch.arange(REFERENCES) % CONTENTS
        self.references = torch.arange(REFERENCES).repeat_interleave(PICTURES)
        self.content = of_reference[self.references]
        # The prompt asks for another content than the reference shows.
        self.prompt = (self.content + 1 + self.draw(CONTENTS - 1)) % CONTENTS
        self.style = near(torch.zeros(REFERENCES, DIM), self.generator)[self.references]

    def draw(self, below: int) -> Tensor:
        return torch.randint(below, self.references.shape, generator=self.generator)

    def reference_pictures(self) -> Tensor:
        return normalize(self.contents[self.content] + 0.5 * self.style, dim=-1)

    def pictures_of(self, content: Tensor) -> Tensor:
        """Pictures that show `content` in their reference's style."""
        return near(self.contents[content] + 0.5 * self.style, self.generator)

    def leaks(self, generated: Tensor) -> tuple[Estimate, Estimate]:
        """Leak rates, target against content and over all contents."""
        features = UnitFeatures(
            generated, self.reference_pictures(), self.contents[self.content], self.contents[self.prompt]
        )
        found = leaked(features), leaked_among(features, self.contents)
        one, among = (estimate(values, self.references) for values in found)
        return one, among


@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_pictures_are_the_references_themselves(seed: int) -> None:
    planted = Planted(seed)
    is_reference = planted.draw(2).bool()
    generated = planted.reference_pictures().where(is_reference[:, None], planted.pictures_of(planted.prompt))
    for found in planted.leaks(generated):
        assert found.mean == pytest.approx(is_reference.float().mean().item())
        assert found.low <= 0.5 <= found.high
        assert found.high - found.low < 0.15  # says something


def test_all_prompts_right() -> None:
    planted = Planted()
    for found in planted.leaks(planted.pictures_of(planted.prompt)):
        assert found[:3] == (0, 0, 0)


def test_all_references_copied() -> None:
    planted = Planted()
    for found in planted.leaks(planted.reference_pictures()):
        assert found[:3] == (1, 1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_labels_leak_by_chance(seed: int) -> None:
    planted = Planted(seed)
    one, among = planted.leaks(planted.pictures_of(planted.draw(CONTENTS)))
    assert one.low <= 1 / 2 <= one.high
    assert among.low <= 1 / CONTENTS <= among.high
    assert among.high < one.low


@pytest.mark.parametrize("seed", range(3))
def test_a_classifier_agrees_with_right_labels_always_and_with_shuffled_ones_by_chance(seed: int) -> None:
    planted = Planted(seed)
    seen = (planted.pictures_of(planted.prompt) @ planted.contents.T).argmax(dim=1)
    right, chance = (
        estimate(agreement(seen, labels), planted.references) for labels in (planted.prompt, planted.draw(CONTENTS))
    )
    assert right[:3] == (1, 1, 1)
    assert chance.low <= 1 / CONTENTS <= chance.high < 0.2
