"""Every kind of file that others write, damaged in many ways: read with finite values, or refused by its name."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image

from callbacks.prediction_writer import PredictionFolder
from callbacks.scoring.classifier_judge import Classifier, ClassifierJudge, save_classifier
from callbacks.scoring.clip_judge import ClipJudge
from datamodules.prediction_folders import read_folders
from datamodules.shards import ReferenceLookup, open_references, write_shards
from lightning_modules.adapters import ImageAdapter, TextAdapter
from lightning_modules.conditions.trained import adapter_bytes, read_adapter
from lightning_modules.diffusion.config import Backbone
from lightning_modules.diffusion.ip_adapter import cross_attention_layers
from lightning_modules.diffusion.stable_diffusion import StableDiffusion
from lightning_modules.styleshot.weights import load_style_encoder, read_styleshot
from tests.mutations import mutate, outcome
from tests.tiny import tiny_unet, write_tiny_backbone, write_tiny_judge
from tests.unit.datamodules.folders import write_folder
from tests.unit.datamodules.predicted import jobs_of, write_predictions, write_references
from tests.unit.lightning_modules.conditions.test_trained import lightning_checkpoint
from tests.unit.lightning_modules.styleshot.reference import HEADS, random_encoder
from tests.unit.lightning_modules.styleshot.test_weights import ip_bin

IMAGE = Image.new("RGB", (9, 7), (200, 30, 90))


class Kind(NamedTuple):
    """Files that are read together."""

    write: Callable[[Path], Any]
    """Writes them into a folder."""
    read: Callable[[Path], Any]
    """Reads such a folder; returns numbers that must be finite."""
    trials: int = 4
    """How often each of the files is damaged."""


def _write_adapters(folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(adapter_bytes(ImageAdapter(6)))
    torch.save(TextAdapter(6, 4).state_dict(), folder / "a.bin")
    torch.save(lightning_checkpoint(TextAdapter(6, 6)), folder / "a.ckpt")


def _read_adapters(folder: Path) -> Any:
    return [p for path in folder.iterdir() for p in read_adapter(path).parameters()]


def _write_predictions(folder: Path) -> None:
    references = write_references(folder / "references").test_set.references
    write_predictions(folder, jobs_of(references))


def _read_predictions(folder: Path) -> Any:
    PredictionFolder(folder).open({"name": "masking", "scale": 0.5})
    found = read_folders([str(folder)], ReferenceLookup([str(folder / "references")]))
    return [each.share_masked or 0.0 for each in found.predictions]


def _write_shards(folder: Path) -> None:
    write_shards(open_references(write_folder(folder.parent / "plain", ("cat",))), folder, shard_size=2)


def _read_shards(folder: Path) -> Any:
    packed = open_references(folder)
    return [sum(packed.image(index).size) for index in range(len(packed))]


def _read_backbone(folder: Path) -> Any:
    read = []
    for name in ("ip_adapter.bin", "ip_adapter.safetensors"):
        model = StableDiffusion.load(Backbone(str(folder), ip_adapter=str(folder / name)))
        model.encode_prompts(["frog"]), model.encode_contents(["frog"]), model.encode_images([IMAGE])
        read += list(model.parameters())
    return read


def _write_styleshot(folder: Path) -> None:
    torch.save(random_encoder(), folder / "style_aware_encoder.bin")
    torch.save(ip_bin(), folder / "ip.bin")


def _read_styleshot(folder: Path) -> Any:
    encoder = load_style_encoder(folder / "style_aware_encoder.bin", HEADS)
    weights = read_styleshot(folder / "ip.bin", cross_attention_layers(tiny_unet()))
    return [*encoder.parameters(), *(tensor for part in weights for tensor in part.values())]


def _read_judge(folder: Path) -> Any:
    judge = ClipJudge(str(folder), cache=str(folder / "cache"))
    judge.text_features(["A dog", "A cat " * 30]), judge.image_features([IMAGE])
    return judge._network.parameters()


def _read_classifier(folder: Path) -> Any:
    judge = ClassifierJudge(str(folder))
    judge.probabilities([IMAGE])
    assert judge._network is not None
    return judge._network.parameters()


def _write_classifier(folder: Path) -> None:
    save_classifier(Classifier(2, 3), folder, ["dog", "cat"], ["a", "b", "c"])


KINDS = {
    "adapters": Kind(_write_adapters, _read_adapters, trials=12),
    "predictions": Kind(_write_predictions, _read_predictions, trials=8),
    "shards": Kind(_write_shards, _read_shards, trials=8),
    "backbone": Kind(write_tiny_backbone, _read_backbone, trials=1),
    "styleshot": Kind(_write_styleshot, _read_styleshot),
    "judge": Kind(write_tiny_judge, _read_judge),
    "classifier": Kind(_write_classifier, _read_classifier),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_refused_by_name(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    whole = tmp_path / "whole"
    whole.mkdir()
    kind.write(whole)
    assert outcome(lambda: kind.read(whole), whole) == "read"
    found = [
        damaged_once(kind, whole, file.relative_to(whole), seed)
        for file in sorted(whole.rglob("*"))
        if file.is_file() and file.suffix not in (".png", ".tar", ".txt")
        for seed in range(kind.trials)
    ]
    assert found.count("refused") > 0


def damaged_once(kind: Kind, whole: Path, file: Path, seed: int) -> str:
    """What becomes of a copy of a folder, one file of which is damaged."""
    copy = shutil.copytree(whole, whole.parent / "copy")
    try:
        mutate(copy / file, seed)
        return outcome(lambda: kind.read(copy), copy / file)
    finally:
        shutil.rmtree(copy)
