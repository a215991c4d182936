"""`maskst sweep` and `maskst test` on tiny random weights: every picture once, every score the one of `validate`."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from callbacks.prediction_writer import PredictionFolder
from callbacks.scoring.judge import COLUMNS
from callbacks.scoring.table import make_table, write_table
from datamodules.batches import Prediction
from datamodules.miniature.generate import draw
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from scripts.cli import main
from tests.integration.conftest import CONFIGS, Run, evaluations

NAMES = ["ip-adapter__scale-1.0", "ip-adapter__scale-0.5", "masking"]


@pytest.fixture(scope="module")
def arguments(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A sweep of three settings with four pictures each."""
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    grids = [{"condition": "IPAdapter", "sampling": {"scale": [1.0, 0.5]}}, {"condition": "Masking"}]
    path.write_text(yaml.safe_dump({"sweep": grids, "data": {"init_args": {"predict_references": 2}}}))
    return ["--config", str(tiny_config), "--config", str(path)]


def test_words_that_are_found_are_in_names_scores_and_masks_and_nothing_is_drawn_twice(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pair in {"IMG 1": ("cat", "lego toy"), "a/b/x": ("ship", "pop art")}.items():
        (tmp_path / "any" / name).parent.mkdir(parents=True, exist_ok=True)
        draw(*pair, seed=5).save(tmp_path / "any" / f"{name}.png")
    data = ["--data", "StyleReferences", f"--data.test={tmp_path / 'any'}", "--data.content_words=auto"]
    data += ["--data.prompts=[A rocket]", "--data.predict_references=2"]
    arguments = ["--config", str(tiny_config), *data, "--model.backbone.model=miniature"]
    arguments += [f"--trainer.default_root_dir={tmp_path / 'out'}"]
    masking = ["--config", str(CONFIGS / "predict" / "masking.yaml")]
    main(["predict", *masking, *arguments])
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert {name.split("__")[0] for name in names} == {"cat", "ship"} and len(names) == 2
    sweep = ["sweep", *arguments, '--sweep=[{"condition": "Masking"}]']
    main(sweep)
    assert {path.name for path in (tmp_path / "out" / "masking").glob("*.png")} == names
    scored = rows(tmp_path / "out" / "scores")
    assert {row["content"] for row in scored} == {"cat", "ship"}
    assert all(row["leakage/leaked_among_all"] is not None for row in scored)
    profiles = json.loads((tmp_path / "out" / "scores" / "masks.json").read_text())
    assert {profile["content"] for profile in profiles} == {"cat", "ship"}
    monkeypatch.setattr(PredictionFolder, "write", lambda *picture: pytest.fail("drawn again"))
    main(["predict", *masking, *arguments])
    main(sweep)


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "scores.parquet").to_pylist()
    return found


def test_a_sweep_stopped_anywhere_goes_on_and_encodes_each_reference_once(
    arguments: list[str], tiny_judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*arguments, "--trainer.default_root_dir", str(tmp_path)]
    encoded: list[int] = []
    encode, write = StableDiffusion.encode_images, PredictionFolder.write

    def counted(self: StableDiffusion, images: Any) -> Any:
        encoded.append(len(images))
        return encode(self, images)

    def failing(*picture: Any) -> None:
        if len(list(tmp_path.rglob("*.png"))) == 6:
            raise KeyboardInterrupt("stopped")
        write(*picture)

    monkeypatch.setattr(StableDiffusion, "encode_images", counted)
    monkeypatch.setattr(PredictionFolder, "write", failing)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        main(["sweep", *options, "--data.generation_batch_size", "1"])
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(made) == 6
    monkeypatch.setattr(PredictionFolder, "write", write)
    encoded.clear()
    main(["sweep", *options])
    assert {path.name for path in tmp_path.iterdir()} == {*NAMES, "scores"}
    assert [len(list((tmp_path / name).glob("*.png"))) for name in NAMES] == [4, 4, 4]
    assert {path: path.stat().st_mtime_ns for path in made} == made
    masks = json.loads((tmp_path / "scores" / "masks.json").read_text())
    assert sum(encoded) == 2 + len(masks)  # each reference once for all settings, then those of the report
    about = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert [(each["method"], each["varied"], each["pictures"]) for each in about["groups"]] == [
        ("ip_adapter", {"sampling.scale": 1.0}, 4),
        ("ip_adapter", {"sampling.scale": 0.5}, 4),
        ("masking", {}, 4),
    ]
    assert (tmp_path / "scores" / "report.html").is_file()
    assert about["judges"] == [str(tiny_judge)]  # the backbone's


def test_only_what_was_asked_for_is_scored(arguments: list[str], tmp_path: Path) -> None:
    options = [*arguments, "--trainer.default_root_dir", str(tmp_path)]
    main(["sweep", *options])
    main(["sweep", *options, "--data.predict_references", "1"])
    about = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert [group["pictures"] for group in about["groups"]] == [2, 2, 2]
    assert len(list((tmp_path / "masking").glob("*.png"))) == 4


@pytest.mark.parametrize("fault", ["scores of others", "no judge"])
def test_what_could_not_be_scored_is_not_drawn(arguments: list[str], tmp_path: Path, fault: str) -> None:
    options = [*arguments, "--trainer.default_root_dir", str(tmp_path)]
    if fault == "no judge":
        options.append('--scoring.judges=[{"class_path": "ClipJudge", "init_args": {"model": "/no/where"}}]')
    else:
        prediction = Prediction("a.png", "m", "k", "r.png", "dog", "ink", "A cat", 0, 0, None, {})
        scores = {"judge": torch.zeros(1, len(COLUMNS))}
        write_table(tmp_path / "scores", make_table([prediction], scores, failures={}, sources=["/elsewhere"]))
    with pytest.raises((ValueError, FileNotFoundError), match="holds scores of `/elsewhere`|`/no/where`"):
        main(["sweep", *options])
    assert not list(tmp_path.rglob("*.png"))


def test_test_scores_as_validate_does(run: Run, tiny_judge: Path, tmp_path: Path) -> None:
    commands = run("validate", "predict/masking", tmp_path / "validated")
    pictures = tmp_path / "pictures"
    run("predict", "predict/masking", pictures, "--data.predict_references=2")
    data = commands.datamodule
    judge = {"class_path": "ClipJudge", "init_args": {"model": str(tiny_judge)}}
    main(
        [
            "test",
            f"--data.folders={pictures}",
            f"--data.references={data.test}",
            f"--scoring.judges={json.dumps([judge])}",
            f"--scoring.contents={json.dumps(data.content_prompts)}",
            f"--scoring.cache={tmp_path / 'features'}",
            "--trainer.accelerator=cpu",
        ]
    )
    [(_, _, scores)] = evaluations(tmp_path / "validated")
    found = rows(pictures / "scores")
    assert len(found) == len(rows(tmp_path / "validated")) == 4
    for tag, mean in scores.items():
        name = "share_masked" if tag == "mask/share_masked" else tag
        # Pictures are the same to a shade, where rounding differs with the batch.
        assert sum(row[name] for row in found) / 4 == pytest.approx(mean, abs=1e-3), tag
    for name in ("scores.csv", "tables", "report.html"):
        assert (pictures / "scores" / name).exists()


def test_what_cannot_be_scored_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected one of the two: `folders`"):
        main(["test"])
    with pytest.raises(ValueError, match="`folders` needs `references`"):
        main(["test", f"--data.folders={tmp_path}"])
    with pytest.raises((ValueError, FileNotFoundError), match="no pictures|holds no"):
        main(["test", f"--data.folders={tmp_path}", f"--data.references={tmp_path}"])


def test_the_published_judges_are_pinned() -> None:
    judges = yaml.safe_load((CONFIGS / "test" / "clip.yaml").read_text())["scoring"]["judges"]
    backbone = (CONFIGS / "backbone" / "sd15.yaml").read_text()
    assert [judge["init_args"]["revision"] in backbone for judge in judges] == [True, True]
