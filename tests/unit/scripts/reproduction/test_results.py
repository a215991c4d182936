"""What the callbacks wrote comes back, and what cannot be compared is refused."""

import json
from pathlib import Path

import pytest

from scripts.reproduction.results import IMAGE, TEXT, read_results
from tests.unit.scripts.reproduction.synthetic import STEPS, line, write_runs


def test_reads_every_method_and_step_in_order(tmp_path: Path) -> None:
    runs = write_runs(tmp_path)
    file = runs["text_adapter"] / "alignment.jsonl"
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    results = read_results(runs)
    assert list(results.tuning_free) == ["ip_adapter", "instantstyle", "masking"]
    assert [each.step for each in results.curves["text_adapter"]] == list(STEPS)
    assert len(results.all) == 3 + 2 * len(STEPS)
    first = results.curves["image_adapter"][2]
    assert first.scores[TEXT].mean == pytest.approx(0.251)
    assert first.scores[IMAGE].by_reference == pytest.approx((0.421, 0.431, 0.441, 0.451))
    assert (first.references, first.images, first.judge) == ((0, 2, 4, 6), 20, "a judge")


def test_a_run_without_scores_names_the_way_out(tmp_path: Path) -> None:
    runs = write_runs(tmp_path)
    (runs["masking"] / "alignment.jsonl").unlink()
    with pytest.raises(ValueError, match="holds no evaluation of masking: .* Remove the folder"):
        read_results(runs)


def test_other_references_cannot_be_compared(tmp_path: Path) -> None:
    runs = write_runs(tmp_path)
    other = line("masking", 0, {"alignment/text": [0.1] * 3})
    (runs["masking"] / "alignment.jsonl").write_text(json.dumps(other))
    with pytest.raises(ValueError, match=r"`references` differs between ip_adapter .* and masking at step 0"):
        read_results(runs)
