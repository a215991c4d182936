"""Golden values: one process runs every kind of command on the miniature and notes what came out, to the last bit.

    python -m tests.golden before           in a checkout of one commit
    python -m tests.golden after            in one of another, on the same machine
    python -m tests.golden after --against before

Bits differ between machines and versions of PyTorch, so that the values of one machine are no test elsewhere.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scripts import cli

_SMALL = ["--data.prompts=[A rocket, A bench]", "--data.generation_batch_size=8", "--model.sampling.steps=4"]
_DRAWN = [*_SMALL, "--data.predict_references=3"]
_FITTED = [*_SMALL, "--data.evaluation_references=2"]
_STYLESHOT = ["--config=configs/backbone/miniature_styleshot.yaml"]
_CAPTIONED = ["--data.per_pair=1", "--data.batch_size=4", "--trainer.max_steps=4", "--trainer.val_check_interval=2"]
_SWEEP = [
    {"condition": "IPAdapter", "sampling": {"scale": [1.0, 0.5]}},
    {"condition": "QuantileMasking", "arguments": {"theta": [0.5]}},
    {"condition": "InstantStyle", "arguments": {"strength": [0.6]}},
]
_TESTED = ["outputs/predict/masking", "outputs/predict/ip_adapter"]
COMMANDS = {
    **{
        f"predict {name}": ["predict", f"--config=configs/predict/{name}.yaml", *_DRAWN]
        for name in ("masking", "masking_quantile", "instantstyle", "ip_adapter")
    },
    "predict further": [
        *("predict", "--config=configs/predict/masking.yaml", *_DRAWN, "--data.references_per_picture=2"),
        "--data.samples_per_prompt=2",
        "--trainer.default_root_dir=outputs/further",
    ],
    "predict styleshot": ["predict", "--config=configs/predict/masking.yaml", *_STYLESHOT, *_DRAWN],
    "predict content": [
        *("predict", "--config=configs/predict/instantstyle.yaml", *_STYLESHOT),
        "--config=configs/data/miniature_style_bench_images.yaml",
        *("--data.predict_references=2", "--model.sampling.steps=2", "--trainer.default_root_dir=outputs/content"),
    ],
    **{
        f"fit {name}": [
            *("fit", f"--config=configs/fit/{name}.yaml", *_FITTED),
            *("--trainer.max_steps=8", "--trainer.val_check_interval=4", "--trainer.log_every_n_steps=1"),
        ]
        for name in ("image_adapter", "text_adapter")
    },
    "fit published": [
        *("fit", "--config=configs/fit/image_adapter.yaml", "--config=configs/fit/published_objective.yaml", *_FITTED),
        *("--trainer.max_steps=4", "--trainer.val_check_interval=4", "--model.cache_features=false"),
    ],
    **{
        f"fit {name}": ["fit", f"--config=configs/fit/{name}.yaml", *_FITTED, *_CAPTIONED]
        for name in ("style_encoder", "content_fusion")
    },
    "predict trained": [
        *("predict", "--config=configs/predict/image_adapter.yaml", *_DRAWN),
        "--model.condition.checkpoint=outputs/fit/image_adapter/checkpoints/last.ckpt",
    ],
    "validate": ["validate", "--config=configs/predict/masking.yaml", *_FITTED],
    "test": ["test", f"--data.folders=[{','.join(_TESTED)}]", "--data.references=data/miniature/object_test"],
    "sweep": ["sweep", f"--sweep={json.dumps(_SWEEP)}", *_DRAWN, "--trainer.default_root_dir=outputs/sweep"],
}
_SCORES = ("path", "judge")


def record(folder: Path) -> dict[str, Any]:
    """Runs all commands in `folder` and gives what they left there: name -> digest or value."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    torch.manual_seed(0)
    for name, arguments in COMMANDS.items():
        sys.stdout.write(f"--- {name}\n")
        cli.main(arguments)
    return dict(found(Path("outputs")))


def found(root: Path) -> Iterator[tuple[str, Any]]:
    """Pixels of the pictures, tensors of the checkpoints, curves of TensorBoard, and rows of scores."""
    for path in sorted(each for each in root.rglob("*.png") if each.parent.name != "figures"):
        with Image.open(path) as image:
            yield str(path), hashlib.sha256(image.tobytes()).hexdigest()
    for path in sorted(root.rglob("*.ckpt")):
        for name, tensor in torch.load(path, weights_only=True)["state_dict"].items():
            yield f"{path} {name}", hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
    for path in sorted(root.rglob("events.out.*")):
        events = EventAccumulator(str(path), {"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            if not tag.startswith("throughput/"):
                yield f"{path.parent} {tag}", [(event.step, event.value) for event in events.Scalars(tag)]
    for path in sorted(root.rglob("scores.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield " ".join([str(path), Path(row["path"]).name, row["judge"]]), row


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is missing or not the same; of a row of scores, each column that both have."""
    lines = [f"is no longer there: {name}" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        if isinstance(one, dict):
            columns = (one.keys() & other.keys()) - {"path", "reference_path"}
            lines += [f"{name} {key}: {one[key]} -> {other[key]}" for key in columns if one[key] != other[key]]
        elif one != other:
            lines.append(f"{name}: {one} -> {other}")
    return sorted(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what is recorded, or was")
    parser.add_argument("--against", type=Path, help="a folder that was recorded before")
    arguments = parser.parse_args()
    folder, against = arguments.folder.resolve(), arguments.against
    if not (folder / "golden.json").exists():
        values = record(folder)
        (folder / "golden.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    if against is not None:
        old, new = (json.loads((each / "golden.json").read_text(encoding="utf-8")) for each in (against, folder))
        lines = differences(old, new)
        sys.stdout.write("\n".join([*lines[:50], f"{len(lines)} differences in {len(old)} values\n"]))
        sys.exit(bool(lines))


if __name__ == "__main__":
    main()
