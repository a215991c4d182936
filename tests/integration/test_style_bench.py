"""StyleBench's layers of configs: the small one that is drawn, and the published one."""

import json
from pathlib import Path

import pytest
import yaml

from scripts.cli import main

FEW = ("--data.predict_references=2", "--data.prompts=[A rocket]")


def test_the_miniatures_bench_is_drawn_and_transferred(tiny_config: Path, tmp_path: Path) -> None:
    layers = "predict/masking data/miniature_style_bench"
    # The tiny config, which comes last, would give the other datamodule's arguments.
    stack = [argument for name in layers.split() for argument in ("--config", f"configs/{name}.yaml")]
    model = yaml.safe_load(tiny_config.read_text())["model"]
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"model": model}))
    folder = f"--data.folder={tmp_path}/bench"
    out = f"--trainer.default_root_dir={tmp_path}/out"
    main(["predict", *stack, "--config", str(tmp_path / "model.yaml"), folder, out, *FEW])
    lines = [json.loads(line) for line in (tmp_path / "out" / "generations-0.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert len({line["reference"]["style"] for line in lines}) == 2, "spread over the styles"
    content, out = f"--data.content_images={tmp_path}/bench/content", f"--trainer.default_root_dir={tmp_path}/image"
    with pytest.raises(ValueError, match=r"`content_maps` .*content-fusion ControlNet.*leave `content_images` out"):
        main(["predict", *stack, "--config", str(tmp_path / "model.yaml"), folder, out, content])
