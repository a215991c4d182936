"""Drawings scored from end to end by both judges of the miniature: what is planted comes out."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest
from lightning import Trainer

from callbacks.prediction_scores import PredictionScores
from callbacks.scoring.bootstrap import Estimate
from callbacks.scoring.scored import Scored
from datamodules.miniature.generate import draw
from datamodules.predictions import Predictions
from datamodules.vocabulary import CONTENTS, PROMPT_CONTENTS, TEST_STYLES, content_prompt
from lightning_modules.style_transfer import Scoring

JUDGES = ("miniature", "miniature classifier")
SEED = 3_000_000  # far from those that any network has been trained on
ALL = (*CONTENTS, *PROMPT_CONTENTS)


class Planted(NamedTuple):
    """The scores of three methods, and how often the pictures of "shuffled" show their reference's content."""

    scored: Scored
    by_chance: float

    def estimate(self, method: str, judge: str, tag: str) -> Estimate:
        [group] = [group for group in self.scored.groups if group.method == method]
        found = self.scored.estimate(group, judge, tag)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Each of 30 references x 3 prompts: half of "copies" are the references, "right" are as asked, the rest drawn."""
    folder, chance = tmp_path_factory.mktemp("planted"), np.random.default_rng(0)
    lines, hits = list[dict[str, str]](), list[bool]()
    for number, (content, style) in enumerate((c, s) for c in CONTENTS for s in TEST_STYLES[::4]):
        draw(content, style, SEED).save(folder / f"{number}.png")
        for asked in chance.choice([c for c in ALL if c != content], 3, replace=False):
            for method, share in (("copies", 0.5), ("right", 0.0), ("shuffled", None)):
                shown = chance.choice(ALL) if share is None else content if chance.random() < share else asked
                name = f"{len(lines)}-drawn.png"
                is_copy = shown == content and method == "copies"
                draw(str(shown), style, SEED if is_copy else SEED + len(lines)).save(folder / name)
                line = {"image": name, "reference": f"{number}.png", "prompt": content_prompt(str(asked))}
                lines.append({**line, "content": content, "style": style, "method": method})
                hits += [shown == content] if method == "shuffled" else []
    (folder / "table.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    scores = PredictionScores(folder=str(folder / "scores"), cache=None)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(accelerator="cpu", callbacks=[scores], default_root_dir=folder, **quiet)
    trainer.test(Scoring(), Predictions(table=str(folder / "table.jsonl")), verbose=False)
    return Planted(Scored.read(folder / "scores"), float(np.mean(hits)))


@pytest.mark.parametrize("judge", JUDGES)
def test_leaks_are_found_where_they_were_planted(planted: Planted, judge: str) -> None:
    for tag, most in (("leakage/leaked", 0.03), ("leakage/leaked_among_all", 0.01)):
        rate = planted.estimate("copies", judge, tag)
        assert rate.low <= 0.5 <= rate.high
        assert rate.high - rate.low < 0.3  # says something
        assert planted.estimate("right", judge, tag).mean <= most
    one, among = (planted.estimate("shuffled", judge, f"leakage/leaked{end}") for end in ("", "_among_all"))
    assert one.low <= 1 / 2 <= one.high
    assert among.mean == pytest.approx(planted.by_chance, abs=0.03)


def test_the_classifier_agrees_where_it_should(planted: Planted) -> None:
    for method, rate in (("right", 1), ("copies", 0.5), ("shuffled", 1 / len(ALL))):
        prompt = planted.estimate(method, JUDGES[1], "agreement/prompt")
        assert prompt.low - 0.05 <= rate <= prompt.high + 0.05
        assert planted.estimate(method, JUDGES[1], "agreement/style").mean > 0.9


def test_copies_are_the_nearest_to_their_references(planted: Planted) -> None:
    copies, right, shuffled = (
        planted.estimate(m, JUDGES[0], "alignment/image") for m in ("copies", "right", "shuffled")
    )
    assert copies.low > max(right.high, shuffled.high)
