"""AlignmentScores in a real trainer: curves, intervals, monitors, and the table in the run's folder."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.alignment_scores import AlignmentScores
from callbacks.evaluation import LAYOUT
from callbacks.scoring import bootstrap as intervals
from callbacks.scoring.bootstrap import Estimate
from callbacks.scoring.functional import UnitFeatures, feature_scores
from callbacks.scoring.scored import Scored
from callbacks.scoring.table import read_table, write_table
from tests.float64 import FEW_ROUNDINGS
from tests.unit.callbacks.colours import ColourJudge, Colours, JobData, generate, make_jobs

MakeTrainer = Callable[..., Trainer]


def expected_scores() -> dict[str, torch.Tensor]:
    judge, all_jobs = ColourJudge(), generate(make_jobs())
    features = UnitFeatures(
        judge.image_features(all_jobs.images),
        judge.image_features(all_jobs.references),
        judge.text_features([job.reference.content_prompt for job in all_jobs.jobs]),
        judge.text_features([j.prompt for j in all_jobs.jobs]),
    )
    return feature_scores(features)


def curves(folder: Path, tag: str) -> dict[int, float]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


def estimates(folder: Path) -> list[tuple[int | None, dict[str, Estimate]]]:
    """Step and scores of each evaluation in the table of a run."""
    scored = Scored.read(folder)
    [judge, *_] = scored.judges
    return [
        (group.step, {tag: found for tag in scored.tags(judge) if (found := scored.estimate(group, judge, tag))})
        for group in scored.groups
    ]


def test_validate_logs_a_constant_line_and_writes_a_table(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    callback = AlignmentScores(ColourJudge(), constant_steps=[0, 400, 800])
    [table] = make_trainer(callback).validate(Colours().requires_grad_(False), JobData(make_jobs()), verbose=False)
    scores, log = expected_scores(), tmp_path / "log"
    text, leaked = scores["alignment/text"].mean().item(), scores["leakage/leaked"].float().mean().item()
    assert table["alignment/text"] == pytest.approx(text, abs=FEW_ROUNDINGS)
    assert table["leakage/leaked"] == pytest.approx(leaked, abs=FEW_ROUNDINGS)
    assert curves(log, "alignment/text") == pytest.approx(dict.fromkeys([0, 400, 800], text), abs=FEW_ROUNDINGS)
    masked = torch.arange(4).repeat_interleave(2).float().mean().item() / 10
    assert curves(log, "mask/share_masked")[400] == pytest.approx(masked)
    [(step, found)], scored = estimates(log), Scored.read(log)
    means = intervals.reference_means(scores["alignment/text"], torch.arange(4).repeat_interleave(2))
    expected = text, *intervals.bootstrap_interval(means)
    assert found["alignment/text"][:3] == pytest.approx(expected, abs=FEW_ROUNDINGS)
    assert found["alignment/text"].means == pytest.approx(means.means.tolist(), abs=FEW_ROUNDINGS)
    assert (found["alignment/text"].references, found["alignment/text"].counts) == ([0, 1, 2, 3], [2, 2, 2, 2])
    for name, value in zip(("", "_low", "_high"), found["alignment/text"][:3], strict=True):
        assert curves(log, f"alignment/text{name}")[800] == np.float32(value)  # the same, to the last bit
    assert (step, scored.judges, len(scored.rows)) == (0, ["miniature"], 8)
    [group] = scored.groups
    assert (group.method, group.setting, group.settings) == ("masking", "", {"sampling": {"steps": 3}})
    assert set(table) == {*found, "step"}
    assert "leakage/leaked_among_all" in found
    assert "judge: miniature" in (log / "hparams.yaml").read_text()
    events = EventAccumulator(str(log))
    events.Reload()
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_fit_evaluates_at_its_steps_and_feeds_monitors(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    callback = AlignmentScores(ColourJudge(), constant_steps=[0, 99])
    trainer = make_trainer(callback, max_steps=4, val_check_interval=2, num_sanity_val_steps=1)
    trainer.fit(Colours(), JobData(make_jobs()))
    assert [step for step, _ in estimates(tmp_path / "log")] == [2, 4]  # not the sanity check
    assert set(curves(tmp_path / "log", "alignment/image")) == {2, 4}
    expected = expected_scores()["alignment/image"].mean().item()
    assert trainer.callback_metrics["alignment/image"].item() == pytest.approx(expected, abs=FEW_ROUNDINGS)
    assert "step" not in trainer.callback_metrics  # `ModelCheckpoint` would name files by it
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert set(saved) == {"weight"}
    # Tested afterwards by another trainer, the checkpoint's step is the one that counts.
    again = make_trainer(AlignmentScores(ColourJudge(), contents=[], suffix="_other"))
    [table] = again.test(Colours(), JobData(make_jobs()), ckpt_path=str(tmp_path / "last.ckpt"), verbose=False)
    [(_, first), (step, last)] = estimates(tmp_path / "log")  # in the place of those of the same step
    assert (step, first["alignment/image"].mean) == (4, last["alignment/image"].mean)
    assert "leakage/leaked_among_all" in first.keys() - last.keys()
    assert table["alignment/image_other"] == pytest.approx(expected, abs=FEW_ROUNDINGS)
    assert curves(tmp_path / "log", "alignment/image_other").keys() == {4}
    assert curves(tmp_path / "log", "alignment/image_other_low").keys() == {4}


def test_a_method_without_mask_logs_none(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    callback = AlignmentScores(ColourJudge())
    trainer = make_trainer(callback)
    callback.add = lambda generations: AlignmentScores.add(callback, generate(generations.jobs, mask=False))  # type: ignore[method-assign]
    trainer.test(Colours("ip_adapter"), JobData(make_jobs()), verbose=False)
    assert "mask/share_masked" not in estimates(tmp_path / "log")[0][1]


def test_two_judges_share_a_table(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    judges = ColourJudge("one"), ColourJudge("other")
    callbacks = [AlignmentScores(judge, suffix=f"_{judge.model}") for judge in judges]
    assert callbacks[0].state_key != callbacks[1].state_key
    for _ in range(2):  # the second evaluation replaces the first
        make_trainer(*callbacks).validate(Colours(), JobData(make_jobs()), verbose=False)
        scored = Scored.read(tmp_path / "log")
        assert (scored.judges, len(scored.groups), len(scored.rows)) == (["one", "other"], 1, 16)
    make_trainer(callbacks[0]).validate(Colours(strength=0.5), JobData(make_jobs()), verbose=False)
    scored = Scored.read(tmp_path / "log")  # the other judge has not seen the pictures of this setting
    assert (scored.judges, len(scored.rows), scored.groups[0].settings["strength"]) == (["one"], 8, 0.5)


def test_layout_matches_the_tags_of_any_judge_but_no_intervals() -> None:
    _, [text] = LAYOUT["alignment"]["text"]
    tags = [f"alignment/text{end}" for end in ("", "_vit_h14", "_low", "_vit_h14_high")]
    assert [tag for tag in tags if re.match(text, tag)] == tags[:2]
    _, [leaked] = LAYOUT["leakage"]["leaked"]
    assert re.match(leaked, "leakage/leaked_other")
    assert not re.match(leaked, "leakage/leaked_among_all")
    tag = "alignment/image"
    assert LAYOUT["intervals"][f"{tag}, 95 % interval"] == ["Margin", [tag, f"{tag}_low", f"{tag}_high"]]


def test_pictures_that_are_not_finite_are_in_no_score(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    module, found = Colours(), []
    for spoilt, jobs in (([1], make_jobs(4)), ([], [job for job in make_jobs(4) if job.reference.index != 1])):
        module.spoilt = spoilt
        trainer = make_trainer(AlignmentScores(ColourJudge()), logger=False, default_root_dir=tmp_path / str(spoilt))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trainer.validate(module, JobData(jobs), verbose=False)
        found.append(estimates(tmp_path / str(spoilt)))
        assert len(Scored.read(tmp_path / str(spoilt)).failures) == 2 * len(spoilt)
        told = [str(each.message) for each in said if "have no scores" in str(each.message)]
        assert bool(told) == bool(spoilt) and all("2 of 8 pictures have no scores" in text for text in told)
    assert found[0] == found[1]


@pytest.mark.parametrize("fault", ["damaged", "scores of folders"])
def test_a_table_that_would_be_lost_is_refused_before_anything_is_drawn(
    make_trainer: MakeTrainer, tmp_path: Path, fault: str
) -> None:
    (tmp_path / "log").mkdir()
    if fault == "damaged":
        (tmp_path / "log" / "scores.parquet").write_text("no parquet")
    else:
        make_trainer(AlignmentScores(ColourJudge())).validate(Colours(), JobData(make_jobs()), verbose=False)
        table = read_table(tmp_path / "log")
        write_table(tmp_path / "log", table._replace(about={**table.about, "sources": ["/elsewhere"]}))
    module = Colours()
    with pytest.raises(ValueError, match=r"`trainer.default_root_dir`: .* move it away, for the scores to begin anew"):
        make_trainer(AlignmentScores(ColourJudge())).validate(module, JobData(make_jobs()), verbose=False)
    assert module.generated == []
