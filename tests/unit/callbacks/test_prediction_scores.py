"""The scores folder: its values against NumPy, on one rank and two, kept features, failures and refusals."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from lightning import Trainer
from PIL import Image

from callbacks.prediction_scores import PredictionScores
from callbacks.scoring.classifier_judge import ClassifierJudge, load_classifier
from callbacks.scoring.clip_judge import ClipJudge
from callbacks.scoring.judge import COLUMNS
from callbacks.scoring.table import KEYS, NAMES, make_table, write_table
from datamodules.predictions import Predictions, _csv_rows
from lightning_modules.outputs import Prediction
from tests.float64 import FEW_ROUNDINGS
from tests.unit.callbacks.colours import ColourJudge
from tests.unit.callbacks.scored_pictures import (
    CLASSES,
    STYLES,
    rows_of,
    score,
    scores_into,
    three_judges,
    write_classifier,
)
from tests.unit.datamodules.folders import spoil

Make = Callable[..., Trainer]


def features_of(path: str) -> np.ndarray:
    feature = np.array([*(np.array(Image.open(path).getpixel((0, 0))) / 255), 1.0])
    return feature / np.linalg.norm(feature)


def text_features_of(text: str) -> np.ndarray:
    feature = np.array([text.count(letter) + 0.1 for letter in "aeor"])
    return feature / np.linalg.norm(feature)


def diversity_of(row: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    job = ("setting", "reference", "prompt", "judge")
    others = [r for r in rows if r["path"] != row["path"] and all(r[key] == row[key] for key in job)]
    cosines = [features_of(row["path"]) @ features_of(other["path"]) for other in others]
    return 1 - float(np.mean(cosines)) if cosines else None


def read_by_clip(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, float | None]:
    i, s = features_of(row["path"]), features_of(row["reference_path"])
    p, n = text_features_of(row["prompt"]), text_features_of(f"A {row['content']}")
    leaked = i @ n > i @ p
    return {
        "alignment/text": i @ p,
        "alignment/image": i @ s,
        "alignment/content": i @ n,
        "alignment/style_difference": i @ s - i @ n,
        "leakage/leaked": leaked,
        "leakage/leaked_among_all": leaked and i @ n >= max(i @ text_features_of(f"A {c}") for c in ("bird", "cat")),
        "published/fidelity": not leaked,
        "published/style_score": 0 if leaked else i @ s - i @ n,
        "published/leakage_score": 1 if leaked else (i @ n) / (s @ n),
        "diversity": diversity_of(row, rows),
    }


def read_by_classifier(row: dict[str, Any], network: torch.nn.Module) -> dict[str, float | None]:
    pixels = np.array(Image.open(row["path"]).convert("RGB").resize((64, 64)), dtype=np.float32)  # of one colour
    content, style = (logits[0].numpy() for logits in network(torch.tensor(pixels / 127.5 - 1).permute(2, 0, 1)[None]))
    asked = CLASSES.index(row["prompt"].split()[1])
    found: dict[str, float | None] = {"agreement/prompt": content.argmax() == asked}
    if row["content"] in CLASSES:
        shown = CLASSES.index(row["content"])
        found["leakage/leaked"] = content[shown] > content[asked]
        found["leakage/leaked_among_all"] = content.argmax() == shown
    if row["style"] in STYLES:
        found["agreement/style"] = style.argmax() == STYLES.index(row["style"])
    return found


def test_scores_equal_an_independent_reading(make_trainer: Make, tmp_path: Path, data: Predictions) -> None:
    judges = three_judges(tmp_path)
    folder = score(make_trainer, scores_into(tmp_path, *judges), data)
    rows, classifier = rows_of(folder), load_classifier(tmp_path / "classifier")
    assert list(rows[0]) == [*KEYS, *COLUMNS]
    assert [(row["path"], row["judge"]) for row in rows] == [(p.path, j.name) for p in data.predictions for j in judges]
    for place, row in enumerate(rows):
        expected = read_by_classifier(row, classifier) if place % 3 == 2 else read_by_clip(row, rows)
        if place % 3 == 1:  # the judge of style
            expected = {tag: expected[tag] for tag in ("alignment/image", "diversity")}
        for tag in COLUMNS:
            value = expected.get(tag)
            assert row[tag] == (None if value is None else pytest.approx(float(value), abs=FEW_ROUNDINGS)), (tag, row)
    assert all({row[tag] for row in rows} != {None} for tag in COLUMNS)
    assert {row["leakage/leaked"] for row in rows} == {0, 1, None}


def test_texts_that_a_judge_cuts_are_told_beside_the_scores(
    make_trainer: Make, tmp_path: Path, data: Predictions, tiny_judge: Path
) -> None:
    long = "a bench " * 30
    scores = scores_into(tmp_path, ClipJudge(str(tiny_judge)), contents=[long, "A dog"])
    with pytest.warns(UserWarning, match=r"^Texts that are longer .* reads: 1, such as 'a bench .* \(62 tok"):
        folder = score(make_trainer, scores, data)
    assert json.loads((folder / "scores.json").read_text())["cut_texts"] == {str(tiny_judge): {long: 62}}


def test_keys_groups_and_both_tables(make_trainer: Make, tmp_path: Path, data: Predictions) -> None:
    folder = score(make_trainer, scores_into(tmp_path, ColourJudge("colours")), data)
    row, prediction = rows_of(folder)[-1], data.predictions[-1]
    assert (row["reference"], row["setting"]) == (prediction.reference_key, "scale 0.4")
    same = [name for name in KEYS if name not in ("setting", "reference", "step", "judge")]
    assert [row[name] for name in same] == [getattr(prediction, name) for name in same]
    about = json.loads((folder / "scores.json").read_text())
    groups, contents = about.pop("groups"), sorted({each.content_prompt for each in data.predictions})
    nothing = {"failures": {}, "unread": [], "cut_texts": {}}
    told = {"judges": ["colours"], "pictures": 32, "contents": contents, "sources": [str(tmp_path / n) for n in "01"]}
    assert about == told | nothing
    for found, each, scale, pictures in zip(groups, (data.predictions[0], prediction), (1, 0.4), (8, 24), strict=True):
        varied = {"setting": f"scale {scale}", "varied": {"sampling.scale": scale}, "settings": each.settings}
        assert found == {"method": "masking", "pictures": pictures, "step": None, **varied}
    with open(folder / "scores.csv", newline="") as file:
        [*_, last] = csv.DictReader(file)
    assert list(last) == [*KEYS, *COLUMNS]
    assert float(last["alignment/text"]) == pytest.approx(row["alignment/text"], abs=1e-7)
    assert (last["content_image"], last["agreement/style"], last["seed"]) == ("", "", str(prediction.seed))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("left", [1, 7])
def test_two_uneven_ranks_write_what_one_does(make_trainer: Make, tmp_path: Path, data: Predictions, left: int) -> None:
    """With one picture a rank has none; one that cannot be read is the other rank's."""
    spoil(Path(data.predictions[left - 1].path), keep=0)
    data.found.predictions[left:] = []
    data.found.predictions.append(Predictions(data.folders, data.references).predictions[-1])
    written, ranks = {}, {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False}
    for name, options in (("one", {}), ("two", ranks)):
        folder = score(make_trainer, scores_into(tmp_path / name, *three_judges(tmp_path)), data, **options)
        written[name] = [(folder / file).read_bytes() for file in NAMES]
    assert written["one"] == written["two"]
    about = json.loads(written["one"][NAMES.index("scores.json")])
    assert about["pictures"] == left
    assert list(about["failures"].values()) == ["the file is empty"]


def test_scoring_again_loads_no_network(
    make_trainer: Make, tmp_path: Path, data: Predictions, tiny_judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, cache, written = write_classifier(tmp_path / "classifier"), str(tmp_path / "features"), []
    for _ in range(2):
        judges = [ClipJudge(str(tiny_judge), cache=str(tmp_path / "own")), ClassifierJudge(classifier)]
        folder = score(make_trainer, PredictionScores(judges, str(tmp_path / "scores"), cache=cache), data)
        written.append((folder / "scores.csv").read_bytes())
        assert [judge.cache for judge in judges] == [str(tmp_path / "own"), cache]
        monkeypatch.setattr(ClipJudge, "_load", None)
        monkeypatch.setattr("callbacks.scoring.classifier_judge.load_classifier", None)
    assert written[0] == written[1]


def test_the_order_and_the_files_in_which_pictures_were_written_change_no_byte(
    make_trainer: Make, tmp_path: Path, data: Predictions, tiny_judge: Path
) -> None:
    written = []
    for name in ("before", "after"):
        data = Predictions(data.folders, data.references, batch_size=3)
        folder = score(make_trainer, scores_into(tmp_path / name, ClipJudge(str(tiny_judge))), data)
        written.append([(folder / file).read_bytes() for file in NAMES])
        for each in map(Path, data.folders):
            *lines, last = (each / "generations-0.jsonl").read_text().splitlines(keepends=True)
            (each / "generations-0.jsonl").write_text(last)
            (each / "generations-1.jsonl").write_text("".join(reversed(lines)))
    assert written[0] == written[1]


def test_what_a_judge_says_of_a_picture_does_not_depend_on_what_it_saw_before(tiny_judge: Path) -> None:
    texts = ["A dog", "A cat that sits on a bench", "A rocket"]
    images = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    together, alone = ClipJudge(str(tiny_judge)), ClipJudge(str(tiny_judge))
    assert torch.equal(together.text_features(texts), torch.cat([alone.text_features([text]) for text in texts]))
    each = torch.cat([alone.reference_features([image]) for image in images])
    assert torch.equal(together.reference_features(images), each)


TEXTS = ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "'=1", "''-1", "'quoted'", "A dog = a cat", "＝1", "", "a\nb"]


def test_a_spreadsheet_runs_nothing_of_scores_csv_which_reads_back_as_it_was(tmp_path: Path) -> None:
    prediction = Prediction("a.png", "m", "k", "r.png", "dog", "ink", "", 0, 0, None, {}, None, None)
    predictions = [prediction._replace(prompt=text, style=text) for text in TEXTS]
    write_table(tmp_path, make_table(predictions, {"=judge": torch.zeros(len(TEXTS), len(COLUMNS))}))
    with open(tmp_path / "scores.csv", newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))]
    rows = [row for _, row in _csv_rows(tmp_path / "scores.csv")]
    assert [row["prompt"] or "" for row in rows] == [row["style"] or "" for row in rows] == TEXTS
    assert {row["judge"] for row in rows} == {"=judge"}
    assert pq.read_table(tmp_path / "scores.parquet")["prompt"].to_pylist() == TEXTS
